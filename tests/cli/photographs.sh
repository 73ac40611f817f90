# Photographs as images: PNG and JPEG, damaged and oversized ones, what --preprocessing takes.
base64 -d >photo.jpg <<'END'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVG
ZIhlbXd7gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8
fHx8fHx8fHx8fHx8fHx8fHx8fHz/wAARCAAQABgDASIAAhEBAxEB/8QAFwAAAwEAAAAAAAAAAAAAAAAAAAQFBv/EABcQ
AAMBAAAAAAAAAAAAAAAAAAADBGH/xAAWAQEBAQAAAAAAAAAAAAAAAAADAgX/xAAZEQACAwEAAAAAAAAAAAAAAAAAAgED
BCH/2gAMAwEAAhEDEQA/AM8qPBxUeFNUeDao8JVwaNZNVHgF5UeAPDmumvh//9k=
END
base64 -d >huge.png <<'END'
iVBORw0KGgoAAAANSUhEUgAA6mAAAOpgCAIAAAAPsOIVAAAAC0lEQVR4nDMwgAEACloB4eLk2wMAAAAASUVORK5CYII=
END
run 'i3dconv zoo synth inception_v1 --seed 1 -o flat.h5'
run 'i3dconv inflate flat.h5 -o i3d.onnx'
run 'i3dconv filters flat.h5 -o photo.png'
run 'i3dconv verify flat.h5 i3d.onnx --frames 16 --image photo.png --image photo.jpg --quiet'
run 'i3dconv verify flat.h5 --image photo.jpg --dump values.npz'
one='{"size": [224, 224], "channel_order": "BGR", "scale": 1, "mean": [104, 117, 123]}'
run 'i3dconv verify flat.h5 --image photo.png --preprocessing "$one" --dump values.npz'
run 'head -c 200 photo.jpg >cut.jpg; i3dconv verify flat.h5 i3d.onnx --image cut.jpg'
run 'head -c 310 photo.jpg >cut.jpg; i3dconv verify flat.h5 i3d.onnx --image cut.jpg'
run 'head -c 300 photo.png >cut.png; i3dconv verify flat.h5 i3d.onnx --image cut.png'
run 'head -c 20 photo.png >cut.png; i3dconv verify flat.h5 i3d.onnx --image cut.png'
run 'i3dconv verify flat.h5 i3d.onnx --image huge.png'
# the height and width in its frame header
run 'printf "\377\333\377\333" | dd of=photo.jpg bs=1 seek=163 conv=notrunc status=none
    i3dconv verify flat.h5 i3d.onnx --image photo.jpg'
run 'i3dconv verify i3d.onnx --image photo.png --dump values.npz'
run 'i3dconv verify flat.h5 i3d.onnx --image photo.png --preprocessing "{\"sizes\": 3}"'
run 'i3dconv verify flat.h5 i3d.onnx --image photo.png --preprocessing "{\"std\": 0}"'
