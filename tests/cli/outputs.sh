# Where output may go: a new file, an old one, a link, a FIFO, a device; never over the input.
run 'i3dconv zoo synth inception_v1 --classes 10 -o in.h5'
cp in.h5 before.h5
run 'i3dconv inflate in.h5 -o in.h5'
ln -s in.h5 link.h5
ln in.h5 hard.h5
run 'i3dconv inflate in.h5 -o link.h5'
run 'i3dconv inflate in.h5 -o hard.h5'
run 'i3dconv inflate link.h5 -o in.h5'
run 'i3dconv inflate - -o in.h5 <in.h5'
run 'cmp in.h5 before.h5'

echo old >target.onnx
ln -s target.onnx name.onnx
ln -s nowhere.onnx dangling.onnx
run 'i3dconv inflate in.h5 -o plain.onnx'
run 'i3dconv inflate in.h5 -o name.onnx'
run 'i3dconv inflate in.h5 -o dangling.onnx'
run 'readlink name.onnx dangling.onnx'
run 'cmp plain.onnx target.onnx && cmp plain.onnx nowhere.onnx'

mkfifo fifo.onnx
timeout 60 cat fifo.onnx >from_fifo.onnx &
run 'i3dconv inflate in.h5 -o fifo.onnx'
wait
run 'cmp plain.onnx from_fifo.onnx && test -p fifo.onnx'
run 'i3dconv inflate in.h5 --to onnx -o /dev/stdout | cmp - plain.onnx'
run 'i3dconv inflate in.h5 --to onnx -o /dev/stdout >redirected.onnx && cmp redirected.onnx plain.onnx'
run 'i3dconv inflate in.h5 --to onnx -o - >>appended.onnx && cmp appended.onnx plain.onnx'
run 'i3dconv inflate in.h5 --to onnx -o /dev/full'
run 'i3dconv inflate in.h5 --to onnx -o - >/dev/full'
run 'i3dconv inflate in.h5 --to onnx -o - >&-'
run 'i3dconv inflate in.h5 --to hdf5 -o /dev/stdout | cat'
run 'i3dconv inflate in.h5 -o no/such/folder.onnx'
mkdir folder.onnx
run 'i3dconv inflate in.h5 -o folder.onnx'
run 'ls -A'
