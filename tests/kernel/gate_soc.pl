#!/usr/bin/perl
# A SOC's server for the guest: what it does with a request stands in a file, and what came of it goes to others.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $folder) = @ARGV;
$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1)
	or die "cannot listen: $!";

sub mode {
	open(my $file, '<', "$folder/mode") or return 'fail';
	chomp(my $mode = <$file> // 'fail');
	return $mode;
}

sub note {
	my ($name, @lines) = @_;
	open(my $file, '>>', "$folder/$name") or die "cannot write $name: $!";
	print $file map { "$_\n" } @lines;
	close($file) or die "cannot write $name: $!";
}

my @held;
while (my $client = $server->accept) {
	my ($text, $length) = ('', undef);
	while (!defined $length || length($text) < $length) {
		last unless sysread($client, $text, 65536, length($text));
		if (!defined $length && $text =~ /^(.*?\r\n\r\n)/s) {
			my $head = $1;
			$length = length($head) + ($head =~ /^content-length:\s*(\d+)/im ? $1 : 0);
		}
	}
	next unless defined $length && length($text) >= $length;
	my $mode = mode();
	note('requests', $mode);
	if ($mode eq 'hang') {
		push @held, $client;
		next;
	}
	if ($mode ne 'ok') {
		print $client "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
		next;
	}
	my @entries;
	push @entries, "$1 $2" while $text =~ /"process_name":"(\w+)".*?"id":"([^"]+)"/g;
	note('entries', @entries);
	# Only what is written down is acknowledged.
	print $client "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
}
