# Shared by bootstrap, demo, test and bench. Sourced, never run.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"

say() {
	if [ -t 2 ]; then printf '\033[1m==>\033[0m %s\n' "$*" >&2; else printf '==> %s\n' "$*" >&2; fi
}

# die PROBLEM FIX: every refusal says what is wrong and how to put it right.
die() {
	printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
	exit 1
}
