#!/bin/sh
# A Debian trixie tree with QEMU from trixie-backports, and `qemu` in it, a script that runs that QEMU outside of a chroot:
# it must see the lab's own /sys and /dev. make-chroot.sh DIRECTORY; does nothing where it is there already.
set -eu
dir=$1
mirror=${MDEVSIM_DEBIAN_MIRROR:-http://deb.debian.org/debian}
[ -x "$dir/qemu" ] && exit 0
rm -rf "$dir.new"
mkdir -p "$(dirname "$dir")"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() { "$@" >"$log" 2>&1 </dev/null || { tail -n 20 "$log" >&2; exit 1; }; }

quietly debootstrap --variant=minbase trixie "$dir.new" "$mirror"
echo "deb $mirror trixie-backports main" > "$dir.new/etc/apt/sources.list.d/backports.list"
# No daemon may start in there.
printf '#!/bin/sh\nexit 101\n' > "$dir.new/usr/sbin/policy-rc.d"
chmod 755 "$dir.new/usr/sbin/policy-rc.d"
quietly chroot "$dir.new" apt-get -q update
quietly chroot "$dir.new" env DEBIAN_FRONTEND=noninteractive \
  apt-get -qy --no-install-recommends -t trixie-backports install qemu-system-x86
cat > "$dir.new/qemu" <<'END'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
exec "$root/usr/lib64/ld-linux-x86-64.so.2" \
  --library-path "$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu/pulseaudio" \
  "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
END
chmod 755 "$dir.new/qemu"
mv "$dir.new" "$dir"
