# A manifest from its start to the check of its files, and manifests that are wrong.
mkdir zoo
run 'i3dconv zoo synth inception_v1 --classes 10 -o zoo/first.safetensors'
run 'i3dconv zoo synth inception_v1_bvlc --classes 10 -o zoo/second.onnx'
run 'i3dconv zoo init zoo/zoo.json --name examples'
run 'i3dconv zoo init zoo/zoo.json'
run 'i3dconv zoo add zoo/zoo.json zoo/first.safetensors --stream rgb --stream flow --licence MIT'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --name two --paper "Szegedy 2015"'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --name two'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --name ../two'
run 'i3dconv zoo add zoo/zoo.json zoo/third.onnx'
run 'cp zoo/second.onnx outside.onnx; i3dconv zoo add zoo/zoo.json outside.onnx 2>&1 | sed "s|zoo, which is .*/|zoo, which is /…/|"'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --stream audio'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --container papyrus'
run 'i3dconv zoo add zoo/zoo.json zoo/second.onnx --preprocessing "[1]"'
run 'cat zoo/zoo.json'
run 'i3dconv zoo list zoo/zoo.json'
run 'i3dconv zoo search zoo/zoo.json SZEGEDY bvlc'
run 'i3dconv zoo search zoo/zoo.json mit --json'
run 'i3dconv zoo show zoo/zoo.json first'
run 'i3dconv zoo show zoo/zoo.json third'
run 'i3dconv zoo check zoo/zoo.json'
run 'i3dconv zoo build zoo/zoo.json --out out --dry-run'
run 'i3dconv zoo build zoo/zoo.json --out "a folder" --print-commands --only "*flow*"'
run 'i3dconv zoo build zoo/zoo.json --out "a folder" --only nothing'
run 'i3dconv zoo build zoo/zoo.json --out "a folder" -j 0'
run 'printf x >>zoo/second.onnx; rm zoo/first.safetensors; i3dconv zoo check zoo/zoo.json'

entry() {
    printf '{"i3dconv_manifest": 1, "entries": [%s]}' "$1" >zoo/wrong.json
    run "i3dconv zoo ${2:-list} zoo/wrong.json"
}
run 'echo "{" >zoo/wrong.json; i3dconv zoo list zoo/wrong.json'
run 'echo "[]" >zoo/wrong.json; i3dconv zoo list zoo/wrong.json'
run 'echo "{\"i3dconv_manifest\": 2, \"entries\": []}" >zoo/wrong.json; i3dconv zoo list zoo/wrong.json'
entry '1'
entry '{"name": "a"}'
entry '{"name": "a/b", "path": "x"}'
entry '{"name": "a", "path": 7}'
entry '{"name": "a", "path": "x", "streams": [1]}'
entry '{"name": "a", "path": "x"}, {"name": "b", "path": "x"}, {"name": "a", "path": "y"}'
entry '{"name": "a", "path": "../outside.onnx"}' check
entry '{"name": "a", "path": "/etc/passwd"}' check
run 'ln -s ../outside.onnx zoo/link.onnx'
entry '{"name": "a", "path": "link.onnx"}' check
run 'i3dconv zoo list zoo'
run 'i3dconv zoo build zoo/zoo.json --out zoo/zoo.json -q'

# 100,000 entries
awk 'BEGIN {
    print "{\"i3dconv_manifest\": 1, \"entries\": ["
    for (i = 0; i < 100000; i++)
        printf "%s{\"name\": \"n%d\", \"path\": \"n%d.onnx\", \"source\": \"s%d\"}\n", i ? "," : "", i, i, i
    print "]}"
}' >zoo/many.json
run 'i3dconv zoo list zoo/many.json | wc -l'
run 'i3dconv zoo search zoo/many.json s99999'
run 'i3dconv zoo build zoo/many.json --out out --print-commands --only "n4242"'
run 'i3dconv zoo build zoo/many.json --out out --keep-going --only "n999*" --quiet | tail -n 1'
