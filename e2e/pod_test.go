package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifest is what the tests want to know of an object of Kubernetes.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string // of a ConfigMap
	Spec     struct {
		Template struct {
			Spec struct {
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
				Volumes        []podVolume
			}
		}
	}
}

type container struct {
	Name          string
	Command, Args []string
	VolumeMounts  []struct {
		Name string
		Path string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type podVolume struct {
	Name      string
	ConfigMap *struct{ Name string } `yaml:"configMap"` // nil for another kind
}

// pod is a Deployment's, with its volumes in folders of this machine.
type pod struct {
	t          *testing.T
	containers map[string]container
	folders    map[string]string // of volumes, by their names
}

// render has kubectl print the objects of an overlay of deploy/kubernetes.
func render(t *testing.T, overlay string) (all []manifest) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), kubectl(t), "kustomize", filepath.Join(programs.root, "deploy", "kubernetes", "overlays", overlay))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v: %s", err, complaint.Bytes())
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var m manifest
		err := documents.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

// kubectl is the one that deploy/validate keeps in the cache, else this machine's.
func kubectl(t *testing.T) string {
	t.Helper()
	kept, err := filepath.Glob(filepath.Join(programs.root, ".cache", "kubectl-*"))
	if err == nil && len(kept) > 0 && runtime.GOARCH == "amd64" {
		return kept[len(kept)-1]
	}
	path, err := exec.LookPath("kubectl")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// podOf makes the folders of the Deployment's volumes, with what its ConfigMaps
// hold; what a Secret is to hold is the test's to write.
func podOf(t *testing.T, objects []manifest) *pod {
	t.Helper()
	at := slices.IndexFunc(objects, func(m manifest) bool { return m.Kind == "Deployment" })
	if at < 0 {
		t.Fatal("no Deployment was rendered")
	}
	spec := objects[at].Spec.Template.Spec
	p := &pod{t: t, containers: map[string]container{}, folders: map[string]string{}}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		p.containers[c.Name] = c
	}
	for _, v := range spec.Volumes {
		dir, err := os.MkdirTemp("", "kw") // t.TempDir is too long a name for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		p.folders[v.Name] = dir
		if v.ConfigMap == nil {
			continue
		}
		at := slices.IndexFunc(objects, func(m manifest) bool { return m.Kind == "ConfigMap" && m.Metadata.Name == v.ConfigMap.Name })
		if at < 0 {
			t.Fatalf("volume %s: no ConfigMap %s was rendered", v.Name, v.ConfigMap.Name)
		}
		for name, text := range objects[at].Data {
			writeFile(t, dir, name, text)
		}
	}
	return p
}

// inContainer replaces the paths of a container's mounts by those of this machine.
func (p *pod) inContainer(name, text string) string {
	p.t.Helper()
	c, ok := p.containers[name]
	if !ok {
		p.t.Fatalf("there is no container %s", name)
	}
	for _, m := range c.VolumeMounts {
		if p.folders[m.Name] == "" {
			p.t.Fatalf("container %s mounts a volume %s that there is not", name, m.Name)
		}
		text = strings.ReplaceAll(text, m.Path+"/", p.folders[m.Name]+"/")
	}
	return text
}

// file is where a container's file is here, once changed.
func (p *pod) file(container, path string, change func(string) string) string {
	p.t.Helper()
	file := p.inContainer(container, path)
	text, err := os.ReadFile(file)
	if err != nil {
		p.t.Fatalf("%s in container %s: %v", path, container, err)
	}
	changed := change(p.inContainer(container, string(text)))
	return writeFile(p.t, filepath.Dir(file), filepath.Base(file), changed)
}

// mounted is the folder at a path of a container.
func (p *pod) mounted(container, path string) string {
	p.t.Helper()
	return filepath.Clean(p.inContainer(container, path+"/"))
}
