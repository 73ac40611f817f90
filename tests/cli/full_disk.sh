# A disk that runs full in the middle of writing: exit code 5, the old file stays, no other
# is left. As root on a small file system of its own, else by a limit on file sizes, which is
# met at another tensor.
run 'i3dconv zoo synth inception_v1 --classes 10 -o in.h5'
mkdir small
if mount -t tmpfs -o size=8m none small 2>/dev/null; then
    note 'on a file system of 8 MiB'
    trap 'umount "$folder/work/small"' EXIT
    limit=:
else
    note 'with a limit on file sizes'
    limit='ulimit -f 8192'
fi

# Shows alike what the two say, and wherever in the file it was.
alike() {
    sed -e 's/File too large/No space left on device/' -e 's/tensor .*: cannot/cannot/' \
        -e 's/the HDF5 library cannot write it/cannot write/'
}

for file in out.onnx out.safetensors out.h5; do
    echo old >small/$file
    run "(\$limit; i3dconv inflate in.h5 -o small/$file) 2>&1 | alike"
    run "(\$limit; i3dconv inflate in.h5 -o small/$file) 2>/dev/null"
    run "cat small/$file"
done
run 'ls -A small'
