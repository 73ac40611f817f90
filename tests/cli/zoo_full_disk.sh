# A disk that runs full while a zoo is built, or takes nothing: what was made stays, what could
# not be made is named, nothing else is left, and the next build makes just the rest. As root
# on a small file system of its own, else by a limit on file sizes.
mkdir zoo out
run 'i3dconv zoo synth squeezenet1_1 --classes 10 --seed 1 -o zoo/small.onnx && i3dconv zoo synth squeezenet1_1 --seed 2 -o zoo/large.onnx'
run 'i3dconv zoo init zoo/zoo.json; for name in small large; do i3dconv zoo add zoo/zoo.json zoo/$name.onnx --name $name; done'
if mount -t tmpfs -o size=12m none out 2>/dev/null; then
    note 'on a file system of 12 MiB'
    trap 'umount "$folder/work/out"' EXIT
    limit=: more='mount -o remount,size=64m out' closed='mount -o remount,ro out' open='mount -o remount,rw out'
else
    note 'with a limit on file sizes'
    limit='ulimit -f 16384' more=: closed='chmod a-w out' open='chmod u+w out'
fi
alike() {
    sed -e 's/File too large/No space left on device/' -e 's/tensor .*: cannot write/cannot write/' \
        -e 's/(worst.*)//' -e 's/Permission denied/Read-only file system/'
}
files() {
    (cd out && find . -type f ! -name index.html ! -name .lock | LC_ALL=C sort)
}

run '($limit; i3dconv zoo build zoo/zoo.json --out out -j 1 --keep-going) 2>&1 >/dev/null | alike'
run '($limit; i3dconv zoo build zoo/zoo.json --out out -j 1 --keep-going) >/dev/null 2>&1'
run files
sum=$(sha256sum <out/small/isotropic-rgb.onnx)
run '$more; i3dconv zoo build zoo/zoo.json --out out -j 1 2>&1 >/dev/null | alike'
run '[ "$sum" = "$(sha256sum <out/small/isotropic-rgb.onnx)" ] && files'
# What refuses depends on how it is closed: the lock, or the catalogue.
run '$closed; i3dconv zoo build zoo/zoo.json --out out -j 1 2>&1 | alike | grep -c "Read-only file system"; $open'
run 'files | wc -l'
run 'i3dconv zoo build zoo/zoo.json --out zoo/small.onnx'
