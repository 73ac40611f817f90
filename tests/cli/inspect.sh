# Statistics and JSON.
run 'i3dconv zoo synth inception_v1 --seed 7 --classes 10 -o net.h5'
run 'i3dconv inspect net.h5 --stats | tail -n 4'
run 'i3dconv inspect net.h5 --json | head -n 20'
run 'i3dconv inspect net.h5 --json --stats | tail -n 16'
run 'i3dconv inspect net.h5 >/dev/full'
