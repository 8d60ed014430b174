# The review of what was derived, as an edit that is kept and applied again after each derivation.
#
# The package's unit lets the server write whole folders, for features that this machine does not use. What it does use
# stands in redis.conf: a configuration to read, a dump to keep, a log to write.
s|allow read, write "/etc/redis/\*\*"|allow read "/etc/redis/redis.conf"|
s|allow read, write "/var/lib/redis/\*\*"|allow read, write "/var/lib/redis/dump.rdb", "/var/lib/redis/temp-[0-9]*.rdb"|
s|allow read, write "/var/log/redis/\*\*"|allow modify, create "/var/log/redis/redis-server.log"|
\|allow read, write "/tmp/\*\*", "/var/tmp/\*\*"|d
