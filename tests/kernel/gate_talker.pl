#!/usr/bin/perl
# Talks to itself over the loopback, and writes down what comes of it: a line each time, or one line and its exit code.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my ($log, $once) = @ARGV;
my $ear = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp') or die "cannot listen: $!";
my $mouth = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $ear->sockport, Proto => 'udp')
	or die "cannot connect: $!";
my $select = IO::Select->new($ear);
while (1) {
	my $sent = defined $mouth->send('x');
	my $received = $select->can_read(0.5) && defined $ear->recv(my $text, 16);
	open(my $file, '>>', $log) or die "cannot write: $!";
	print {$file} $sent ? 'sent ' : 'not sent, ', $received ? "received\n" : "not received\n";
	close($file);
	exit($sent && $received ? 0 : 1) if $once;
	select(undef, undef, undef, 0.2);
}
