/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses of the internet, as the attacks' arguments have them. */
#ifndef KILN_ADDRESS_H
#define KILN_ADDRESS_H

#include "attack.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* The address of a text and a port, of either family; its length. */
static inline socklen_t place(const char *text, const char *port, struct sockaddr_storage *out)
{
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)atoi(port));
		return sizeof(*four);
	}
	if (inet_pton(AF_INET6, text, &six->sin6_addr) != 1)
		unattempted("%s is not an address", text);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)atoi(port));
	return sizeof(*six);
}

#endif
