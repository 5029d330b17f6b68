#!/bin/sh
# A hospital's information system, as small as it gets. README.md says how to try it.
#
#   hand-in.sh                    the approved cases
#   hand-in.sh CASE RESULT.json   hands in FHIR R4 JSON, then as below
#   hand-in.sh CASE               where the case's results stand
#
# A line of JSON each. May be repeated: what is handed in twice is one result.
set -eu

node=${HDMS_NODE:-http://127.0.0.1:8704}
key=$(cat "${HDMS_API_KEY_FILE:-target/demo/hospital/api-key}")

# ask PATH [OPTION OF CURL…]: the node's answer. A refusal ends with its code and sentence, and status 1.
# The key goes by standard input: a command line is seen by everybody on the machine.
ask() {
  path=$1
  shift
  if answer=$(printf 'Authorization: Bearer %s\n' "$key" |
    curl --header @- --silent --show-error --fail-with-body "$@" "$node/api/$path"); then
    printf '%s\n' "$answer"
  else
    printf '%s\n' "$answer" | jq --raw-output '
      if .issue then .issue[0] | .details.coding[0].code, .details.text, (.diagnostics // empty)
      else .code, .detail, (.reason // .field // empty) end' >&2
    return 1
  fi
}

approved() {
  after=
  while :; do
    page=$(ask "cases?phase=approved$after")
    printf '%s\n' "$page" | jq --compact-output '.cases[] | {id, patientName, reason, openResults}'
    after=$(printf '%s\n' "$page" | jq --raw-output '.next // empty | "&after=\(.)"')
    [ -n "$after" ] || break
  done
}

# Under a key made of the file's content, by which the node knows it again.
hand_in() {
  sum=$(sha256sum <"$2" | cut -d ' ' -f 1)
  ask "cases/$1/results" --header 'Content-Type: application/fhir+json' \
    --header "Idempotency-Key: $sum" --data-binary "@$2" >/dev/null
}

results() {
  state=$(ask "cases/$1")
  printf '%s\n' "$state" | jq --compact-output '.results[] | {entry, title, status}'
}

case $# in
  0) approved ;;
  1) results "$1" ;;
  2) hand_in "$1" "$2"; results "$1" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
