# What every script needs first: Node, the npm packages, the build. Sourced; needs bash, and ROOT set to the project.

# Node 20.19 or newer, or one line that says so.
need_node() {
  if ! command -v node >/dev/null 2>&1; then
    echo "mdevsim needs Node.js 20.19 or newer (https://nodejs.org, or Debian 13's own package nodejs); there is none on this machine." >&2
    return 1
  fi
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
    echo "mdevsim needs Node.js 20.19 or newer; this is $(node --version)." >&2
    return 1
  fi
  if ! command -v npm >/dev/null 2>&1; then
    echo "mdevsim needs npm for its packages (on Debian: apt install npm)." >&2
    return 1
  fi
}

# quietly SECONDS NAME COMMAND...: shows the output only when the command fails.
quietly() {
  local limit=$1 name=$2 log status
  shift 2
  log=$(mktemp)
  timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
  status=$?
  if [ $status -ne 0 ]; then
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then echo "$name: killed after $limit s" >&2; else echo "$name failed:" >&2; fi
    grep -v '^npm warn' "$log" | tail -n 60 | sed 's/^/    /' >&2
  fi
  rm -f "$log"
  return $status
}

# npm ci, when package-lock.json is not the one that node_modules was made from.
need_modules() {
  local stamp=$ROOT/node_modules/.mdevsim-lock
  cmp -s "$ROOT/package-lock.json" "$stamp" && return 0
  echo "installing npm packages"
  quietly 300 "npm ci" npm ci --no-fund --no-audit --prefix "$ROOT" || quietly 300 "npm ci (second try)" npm ci --no-fund --no-audit --prefix "$ROOT" || return 1
  cp "$ROOT/package-lock.json" "$stamp"
}

# Compiles to dist/ unless nothing changed since.
need_build() {
  local stamp=$ROOT/dist/.built
  if [ -e "$stamp" ] && [ -z "$(find "$ROOT/src" "$ROOT/mount" "$ROOT/tsconfig.json" "$ROOT/package-lock.json" -newer "$stamp" -print -quit)" ]; then return 0; fi
  echo "building"
  rm -f "$stamp"
  quietly 180 "build" npm run --silent build --prefix "$ROOT" || return 1
  touch "$stamp"
}
