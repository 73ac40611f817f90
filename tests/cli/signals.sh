# A signal while a file is being written leaves no part of it behind. (A shell starts
# background commands with SIGINT ignored, and the program keeps it so.)
run 'i3dconv zoo synth inception_v1 -o in.h5'
mkdir out

# Starts an inflation, waits until its temporary file is there, and sends the signal.
# "too late" is possible, but not five times in a row.
interrupt() {
    for attempt in 1 2 3 4 5; do
        i3dconv inflate in.h5 -o "out/out.$2" &
        process=$!
        while kill -0 $process 2>/dev/null; do
            set -- "$1" "$2" out/.i3dconv-*
            [ ! -e "$3" ] || break
        done
        kill -"$1" $process 2>/dev/null
        wait $process
        status=$?
        [ "$status" -eq 0 ] || return $status
        rm -f "out/out.$2"
    done
}

for suffix in onnx safetensors h5; do
    for signal in TERM HUP; do
        run "interrupt $signal $suffix"
        run 'ls -A out'
    done
done
