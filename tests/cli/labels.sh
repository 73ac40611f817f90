# Names of classes: lists of the program's own, the user's, files; in run, head and zoo.
mkdir zoo lists
run 'i3dconv zoo synth resnet18 --seed 3 -o zoo/net.onnx'
run 'i3dconv zoo synth resnet18 --classes 7 -o zoo/seven.onnx'
zeros() {
    {
        printf '\223NUMPY\1\0v\0'
        printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 224, 224), }"
        head -c 602112 /dev/zero
    } >zeros.npy
}
zeros
# Numbers and names: each name is its number's line in the list.
named() {
    sed 's/^ *\([0-9]*\) *[0-9.]*  /\1 /' | while read -r number name; do
        [ "$name" = "$(sed -n "$((number + 1))p" "$1")" ] && echo same || echo "$number: $name"
    done
}
run 'i3dconv run zoo/net.onnx zeros.npy --top 5 --labels imagenet-1k | named $srcdir/zoo/labels/imagenet-1k.txt'
run 'i3dconv run zoo/net.onnx zeros.npy --top 5 --labels $srcdir/zoo/labels/imagenet-1k.txt | named $srcdir/zoo/labels/imagenet-1k.txt'
run 'i3dconv run zoo/net.onnx zeros.npy --top 5 --labels kinetics-400'
run 'i3dconv run zoo/net.onnx zeros.npy --top 5 --labels kinetics-600'

# The user's lists stand before the program's.
run 'seq 1 7 | sed "s/^/class /" >lists/mine.txt; seq 1 1000 >lists/imagenet-1k.txt; printf "a\0b\n" >lists/binary.txt'
run 'I3DCONV_DIALECTS=lists i3dconv run zoo/seven.onnx zeros.npy --top 7 --labels mine | grep -c "class"'
run 'I3DCONV_DIALECTS=lists i3dconv run zoo/net.onnx zeros.npy --top 5 --labels imagenet-1k | named lists/imagenet-1k.txt'
run 'I3DCONV_DIALECTS=lists i3dconv run zoo/seven.onnx zeros.npy --top 7 --labels binary'
run 'I3DCONV_DIALECTS=lists i3dconv run zoo/seven.onnx zeros.npy --top 7 --labels ../lists/mine | head -n 1'

run 'printf "tench\nyawl\n" >rows; i3dconv head zoo/net.onnx -o two.onnx --rows rows --labels imagenet-1k'

# In a manifest: by the number of classes, by option, and checked.
run 'i3dconv inflate zoo/net.onnx --recipe isotropic --num-classes 400 -o zoo/video.onnx'
run 'i3dconv inflate zoo/net.onnx --recipe isotropic --num-classes 600 -o zoo/video6.onnx'
run 'cp lists/mine.txt zoo; i3dconv zoo init zoo/zoo.json'
run 'i3dconv zoo add zoo/zoo.json zoo/net.onnx'
run 'i3dconv zoo add zoo/zoo.json zoo/video.onnx'
run 'i3dconv zoo add zoo/zoo.json zoo/video6.onnx'
run 'i3dconv zoo add zoo/zoo.json zoo/seven.onnx --labels zoo/mine.txt'
run 'i3dconv zoo add zoo/zoo.json zoo/seven.onnx --name other --labels imagenet-1k'
run 'i3dconv zoo add zoo/zoo.json zoo/seven.onnx --name other --labels lists/mine.txt 2>&1 | sed "s|zoo, which is .*/|zoo, which is /…/|"'
run 'i3dconv zoo add zoo/zoo.json zoo/seven.onnx --name other --labels nowhere'
run 'grep -e "\"name\"" -e "labels" -e "classes" zoo/zoo.json'
run 'i3dconv zoo check zoo/zoo.json'
run 'echo eight >>zoo/mine.txt; sed -i s/kinetics-400/kinetics-500/ zoo/zoo.json; i3dconv zoo check zoo/zoo.json'
run 'sed -i s/kinetics-500/..\\/lists\\/mine.txt/ zoo/zoo.json; i3dconv zoo check zoo/zoo.json video'

# The lists that do not come along, put where they belong: found by the number of classes.
run 'mkdir theirs; seq 1 600 | sed "s/^/action /" >theirs/kinetics-600.txt; head -n 101 theirs/kinetics-600.txt >theirs/ucf-101.txt; head -n 51 theirs/kinetics-600.txt >theirs/hmdb-51.txt; i3dconv zoo init zoo/theirs.json'
export I3DCONV_DIALECTS=theirs
run 'for count in 600 101 51; do i3dconv inflate zoo/net.onnx --recipe isotropic --num-classes $count -o zoo/of$count.onnx && i3dconv zoo add zoo/theirs.json zoo/of$count.onnx; done'
run 'grep -e "labels" -e "classes" zoo/theirs.json; i3dconv zoo check zoo/theirs.json'
run 'i3dconv run zoo/seven.onnx zeros.npy --top 7 --labels hmdb-51'
