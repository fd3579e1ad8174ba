# Shared by bootstrap, demo, test and bench. Sourced, never run.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# die PROBLEM FIX: every refusal says what is wrong and how to put it right.
die() {
	printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2
	exit 1
}
