#!/bin/sh
# Installs spoolkeep, or removes it with --remove. Configuration that is there stays as it is.
set -eu
cd "$(dirname "$0")"

if [ "${1-}" = --remove ]; then
	rm -f /usr/local/bin/spoolkeep /etc/spoolkeep.conf
	exit
fi

# Its own user: useradd comes with most distributions, busybox has adduser.
if ! grep -q '^spoolkeep:' /etc/passwd; then
	if command -v useradd >/dev/null; then
		useradd --system --no-create-home --home-dir /var/spool/spoolkeep \
			--shell /usr/sbin/nologin spoolkeep
	else
		adduser -S -D -H -h /var/spool/spoolkeep -s /sbin/nologin spoolkeep
	fi
fi

mkdir -p /usr/local/bin /var/spool/spoolkeep
cp spoolkeep /usr/local/bin/spoolkeep
chmod 755 /usr/local/bin/spoolkeep
chown spoolkeep /var/spool/spoolkeep
chmod 750 /var/spool/spoolkeep
[ -e /etc/spoolkeep.conf ] || cp spoolkeep.conf /etc/spoolkeep.conf
chmod 644 /etc/spoolkeep.conf
