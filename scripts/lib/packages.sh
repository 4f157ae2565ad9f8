# Debian packages for the tests, the demo and the benchmark. Sourced by scripts/{test,demo,bench}; needs bash.
#
# want NAME COMMAND-OR-FILE  remembers a package when what it brings is missing
# install_wanted             installs what was remembered: quietly, with retries, with a time limit, one line when it can't
# want_qemu VERSION          as want, for a QEMU at least that new, from backports where the release is older
# want_headers               as want, for the kernel's uAPI headers

WANTED=()

want() {
  case $2 in
    /*) [ -e "$2" ] || WANTED+=("$1") ;;
    *) command -v "$2" >/dev/null 2>&1 || WANTED+=("$1") ;;
  esac
}

qemu_version() { qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p'; }

# at_least HAVE WANT: whether version HAVE is WANT or newer.
at_least() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

release() { (. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}"); }

apt_once() { DEBIAN_FRONTEND=noninteractive timeout -k 10 300 apt-get -y -q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"; }

# apt_run ARGS...: up to three times; the log is shown only when all failed.
apt_run() {
  local log try
  log=$(mktemp)
  for try in 1 2 3; do
    if apt_once "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; return 0; fi
    [ "$try" = 3 ] || sleep $((try * 3))
  done
  tail -n 5 "$log" | sed 's/^/    /' >&2
  rm -f "$log"
  return 1
}

APT_UPDATED=
apt_update() { [ -n "$APT_UPDATED" ] || apt_run update || return 1; APT_UPDATED=1; }

can_install() {
  if ! command -v apt-get >/dev/null 2>&1; then echo "note: no apt-get here; please install: $*" >&2; return 1; fi
  if [ "$(id -u)" != 0 ]; then echo "note: not root; please install: $*" >&2; return 1; fi
}

# One line about what is missing and why; the run goes on, tests that need it skip with their own reason.
install_wanted() {
  [ ${#WANTED[@]} -gt 0 ] || return 0
  can_install "${WANTED[@]}" || return 1
  echo "installing ${WANTED[*]}"
  if ! { apt_update && apt_run install --no-install-recommends "${WANTED[@]}"; }; then
    echo "note: could not install ${WANTED[*]} (offline?)" >&2
    return 1
  fi
  WANTED=()
}

# install_newer PACKAGE: the newest that the release offers; on Debian 12 from backports.
install_newer() {
  local from=()
  can_install "$1" || return 1
  if [ "$(release)" = bookworm ]; then
    if ! grep -rqs '^[^#]*bookworm-backports' /etc/apt/sources.list /etc/apt/sources.list.d; then
      echo 'deb http://deb.debian.org/debian bookworm-backports main' > /etc/apt/sources.list.d/mdevsim-backports.list
      APT_UPDATED=
    fi
    from=(-t bookworm-backports)
  fi
  echo "installing $1${from:+ from bookworm-backports}"
  if ! { apt_update && apt_run install --no-install-recommends "${from[@]}" "$1"; }; then
    echo "note: could not install $1 (offline?)" >&2
    return 1
  fi
}

# Debian 12's own QEMU speaks the old migration protocol.
want_qemu() {
  at_least "$(qemu_version)" "$1" && return 0
  install_newer qemu-system-x86 || return 1
  at_least "$(qemu_version)" "$1" || { echo "note: QEMU is $(qemu_version), $1 or newer is needed" >&2; return 1; }
}

# The kernel's headers as of 6.12, for the check of struct layouts and for the recorded probes.
want_headers() {
  grep -qs IOMMU_FAULT_QUEUE_ALLOC /usr/include/linux/iommufd.h && return 0
  install_newer linux-libc-dev
}
