#!/bin/sh
# Take PyTorch's CPU build on Linux without a GPU: the build that pip takes by default brings gigabytes of CUDA.
# usage: torch.sh PIP INDEX
pip=$1 index=$2
pin=$(grep -i '^torch==' constraints.txt | cut -d';' -f1)

[ "$(uname)" = Linux ] || exit 0
command -v nvidia-smi >/dev/null && exit 0
"$pip" show -q torch 2>/dev/null && exit 0
# already resolvable without an index (a wheel in a --find-links folder): nothing to add
"$pip" install -q --dry-run --no-deps --no-index "$pin" 2>/dev/null && { "$pip" install -q --no-compile -c constraints.txt "$pin"; exit; }
if "$pip" install -q --dry-run --no-deps --retries 0 --timeout 15 --index-url "$index" "$pin" 2>/dev/null; then
    exec "$pip" install -q --no-compile --no-deps --index-url "$index" "$pin"   # what torch needs comes with the rest
fi
echo "$index cannot be reached: taking PyTorch's default build"
