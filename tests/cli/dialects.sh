# Naming dialects: how to load what is written, refusals, and tables of the user's own.
run 'i3dconv zoo synth inception_v1 --seed 7 --classes 10 -o net.h5'
run 'i3dconv inflate net.h5 -o i3d.safetensors'
run 'i3dconv inflate net.h5 --stream flow -o flow.safetensors'
run 'i3dconv convert i3d.safetensors -o pytorch.safetensors --dialect pytorch-i3d'
run 'i3dconv convert flow.safetensors -o hassony2.safetensors --dialect hassony2-i3d'
run 'i3dconv convert i3d.safetensors -o "a \"quoted\" name.h5" --dialect keras-i3d'
run 'i3dconv convert flow.safetensors -o sonnet.safetensors --dialect sonnet'
run 'i3dconv inspect sonnet.safetensors | grep -c "^Flow/inception_i3d/"'
run 'i3dconv convert i3d.safetensors -o kin600.safetensors --dialect sonnet-kin600'
run 'i3dconv inspect kin600.safetensors | grep -e ^dialect -e ^Conv3d_1a'
run 'i3dconv convert i3d.safetensors -o - --dialect pytorch-i3d | i3dconv inspect - | grep ^dialect'

# What does not fit, and what fits but for its pads.
run 'i3dconv convert net.h5 -o x.h5 --dialect keras-i3d'
run 'i3dconv zoo synth inception_v1_torchvision --seed 7 --classes 10 -o tv.safetensors'
run 'i3dconv inflate tv.safetensors -o tv3d.safetensors'
run 'i3dconv convert tv3d.safetensors -o x.safetensors --dialect pytorch-i3d'
run 'i3dconv convert tv3d.safetensors -o near.safetensors --dialect pytorch-i3d --approximate'
run 'i3dconv convert net.h5 -o near.h5 --approximate'
run 'i3dconv zoo synth inception_v1_bvlc --seed 7 --classes 10 -o bvlc.safetensors'
run 'i3dconv convert bvlc.safetensors -o x.h5 --dialect keras-inception_v1 --approximate'

# Residual networks.
run 'i3dconv zoo synth resnet18 --seed 7 --classes 10 -o resnet18.safetensors'
run 'i3dconv inspect resnet18.safetensors | head -n 7'
run 'i3dconv convert resnet18.safetensors -o resnet18.onnx'
run 'i3dconv convert resnet18.onnx -o again.safetensors --dialect torchvision-resnet'
run 'i3dconv convert again.safetensors -o x.h5 --dialect keras-inception_v1'
run 'i3dconv zoo synth resnet50 --seed 7 --classes 10 -o resnet50.safetensors'
run 'i3dconv inflate resnet50.safetensors --recipe mmaction2-i3d -o r50.safetensors'
run 'i3dconv convert r50.safetensors -o mm.safetensors --dialect mmaction2-i3d'
run 'i3dconv inspect mm.safetensors | grep -e ^arch -e ^dialect -e backbone.layer1.0.conv1'
run 'i3dconv convert r50.safetensors -o x.safetensors --dialect mmaction2-slowonly'
run 'i3dconv inflate resnet50.safetensors --recipe slowonly -o slow.safetensors'
run 'i3dconv convert slow.safetensors -o mmslow.safetensors --dialect mmaction2-slowonly'

# A user's own tables.
mkdir tables
sed -e 's/Conv3d_/MyConv_/' -e 's/^#: model .*/#: model net = Mine({classes})/' \
    "$srcdir/zoo/dialects/pytorch-i3d.tsv" >tables/mine.tsv
run 'i3dconv convert i3d.safetensors -o mine.safetensors --dialect mine'
run 'i3dconv convert i3d.safetensors -o mine.safetensors --dialect tables/mine.tsv'
run 'i3dconv inspect mine.safetensors | grep -e ^dialect -e ^arch'
run 'I3DCONV_DIALECTS=tables i3dconv inspect mine.safetensors | grep -e ^dialect -e MyConv_1a.*weight'
run 'I3DCONV_DIALECTS=tables:nowhere i3dconv inspect mine.safetensors'
run 'I3DCONV_DIALECTS=tables i3dconv convert mine.safetensors -o back.safetensors --dialect pytorch-i3d'
run 'i3dconv inspect back.safetensors | grep -e ^dialect -e ^arch'
run 'printf "#: architecture perceptron\n#: layout OIHW\nu r n s\na\tweight\tb\t1x1x1x1\n" >bad.tsv'
run 'i3dconv convert i3d.safetensors -o x.safetensors --dialect ./bad.tsv'
run 'i3dconv convert i3d.safetensors -o x.safetensors --dialect nowhere.tsv'
