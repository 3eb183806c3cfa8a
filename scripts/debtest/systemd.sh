# SPDX-License-Identifier: GPL-2.0-only
#
# shellcheck shell=dash
#
# systemd as the first process of a PID namespace, on an overlay that takes what it
# writes.  Sourced by in-guest: $root is the file system, eventually a function there.
booted_root=/booted

overlay_is_mounted()
{
	mkdir -p /layers "$booted_root" && mount -t tmpfs tmpfs /layers &&
		mkdir /layers/upper /layers/work &&
		mount -t overlay -o "lowerdir=$root,upperdir=/layers/upper,workdir=/layers/work" \
			overlay "$booted_root" &&
		for dir in dev proc sys; do
			mount --bind "$root/$dir" "$booted_root/$dir" || return 1
		done &&
		mount -t tmpfs -o mode=755 tmpfs "$booted_root/run" &&
		mount -t cgroup2 cgroup2 "$booted_root/sys/fs/cgroup"
}

# in_systemd COMMAND...: in its namespaces; an emulated machine may take its time
in_systemd()
{
	nsenter -t "$(pidof systemd)" -m -p -r -w /usr/bin/env -i SYSTEMD_BUS_TIMEOUT=300 \
		PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@" </dev/null
}

systemd_starts()
{
	overlay_is_mounted || return
	# shellcheck disable=SC2016 # expanded in there
	unshare -m -p -f sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' \
		"$booted_root" /usr/bin/env -i container=myepoll PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --unit=basic.target >/tmp/systemd 2>&1 </dev/null &
	eventually in_systemd systemctl is-active basic.target
}

drop_in=$booted_root/etc/systemd/system/nginx.service.d/myepoll.conf

# unit_restarts [WITHOUT]: with the example as its drop-in, but without such a line
unit_restarts()
{
	mkdir -p "${drop_in%/*}" &&
		cp "$booted_root/usr/share/doc/myepoll-tools/examples/nginx-drop-in.conf" "$drop_in" &&
		sed -i "${1:+/^$1/d}" "$drop_in" && in_systemd systemctl daemon-reload &&
		in_systemd systemctl restart nginx
}

# unit_says PATTERN: in its status
unit_says()
{
	in_systemd systemctl status nginx >/tmp/status
	cat /tmp/status
	grep -- "$1" /tmp/status
}

unit_is_on_the_module()
{
	unit_says "Active: active (running)" || return
	inside myepoll status | tee /tmp/status
	grep -E '^ +[0-9]+ +[0-9]+ +www-data .* nginx$' /tmp/status
}

# Its processes go with it.
systemd_stops()
{
	kill -KILL "$(pidof systemd)" && eventually fails pidof systemd &&
		eventually fails pidof nginx && umount "$booted_root/sys/fs/cgroup" &&
		for dir in run sys proc dev .; do
			umount "$booted_root/$dir" || return 1
		done && umount /layers
}
