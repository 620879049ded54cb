# Sourced by tests/run and .ci/run: where the tools are, how they are installed, and how a stage is shown.
# Tools are installed into target/tools; a stage that fails is told at the end, and the rest still runs.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/tools
clients=$root/tests/clients/node
failed=()
skipped=()
export SAM_CLI_TELEMETRY=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$tools"
cd "$root"

# stage NAME COMMAND…
stage() {
  local name=$1 started=$SECONDS status
  shift
  printf '\n== %s\n' "$name"
  set +e
  (set -e; "$@")
  status=$?
  set -e
  if [ "$status" -eq 0 ]; then
    printf -- '-- %s: passed, %d s\n' "$name" $((SECONDS - started))
  else
    printf -- '-- %s: FAILED with %d, %d s\n' "$name" "$status" $((SECONDS - started))
    failed+=("$name")
  fi
}

# skip NAME WHY
skip() {
  printf '\n== %s\n-- skipped: %s\n' "$1" "$2"
  skipped+=("$1 ($2)")
}

# venv NAME: a Python environment with what tests/requirements/NAME.txt pins
venv() {
  local folder=$tools/$1 pins=$root/tests/requirements/$1.txt
  cmp -s "$pins" "$folder/installed" && return
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --requirement "$pins"
  cp "$pins" "$folder/installed"
}

# The clients for Node, and Node 24 itself, as package-lock.json pins them
node_clients() {
  cmp -s "$clients/package-lock.json" "$clients/node_modules/installed" && return
  (cd "$clients" && npm ci --omit=dev --no-audit --no-fund --loglevel=error)
  cp "$clients/package-lock.json" "$clients/node_modules/installed"
}

# The names of all functions
functions() {
  sed -n 's/^ *Binary: *//p' template.yaml
}

# release_build OPTIONS…: every function's release build as target/lambda/NAME/bootstrap.zip; `priority` is a command that
# runs it, where it is to give way to others
release_build() {
  venv lambda
  local bins
  bins=$(printf -- '--bin %s ' $(functions))
  PATH=$tools/lambda/bin:$PATH ${priority:-} cargo lambda build --release --output-format zip "$@" $bins
}

# Prints what failed and what was skipped; the script's status
summary() {
  printf '\n== Summary, %d s\n' "$SECONDS"
  printf -- '-- skipped: %s\n' "${skipped[@]:-nothing}"
  printf -- '-- failed: %s\n' "${failed[@]:-nothing}"
  [ ${#failed[@]} -eq 0 ]
}
