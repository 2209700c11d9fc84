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

// manifest is the part of a Kubernetes object that the tests use.
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
	ConfigMap *struct{ Name string } `yaml:"configMap"` // nil for other kinds
}

// pod is a Deployment's pod, with its volumes in directories of this machine.
type pod struct {
	t          *testing.T
	containers map[string]container
	dirs       map[string]string // of volumes, by name
}

// render returns the objects of an overlay of deploy/kubernetes, rendered by
// kubectl.
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

// kubectl returns the kubectl that deploy/validate keeps in the cache, or else
// the installed one.
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

// podOf makes the directories of the Deployment's volumes, with the content of
// its ConfigMaps. The test writes the content of Secrets.
func podOf(t *testing.T, objects []manifest) *pod {
	t.Helper()
	at := slices.IndexFunc(objects, func(m manifest) bool { return m.Kind == "Deployment" })
	if at < 0 {
		t.Fatal("no Deployment was rendered")
	}
	spec := objects[at].Spec.Template.Spec
	p := &pod{t: t, containers: map[string]container{}, dirs: map[string]string{}}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		p.containers[c.Name] = c
	}
	for _, v := range spec.Volumes {
		dir, err := os.MkdirTemp("", "kw") // t.TempDir is too long for a socket's name
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		p.dirs[v.Name] = dir
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

// inContainer replaces the paths of a container's mounts with those of this
// machine.
func (p *pod) inContainer(name, text string) string {
	p.t.Helper()
	c, ok := p.containers[name]
	if !ok {
		p.t.Fatalf("no container %s", name)
	}
	for _, m := range c.VolumeMounts {
		if p.dirs[m.Name] == "" {
			p.t.Fatalf("container %s mounts a volume %s that does not exist", name, m.Name)
		}
		text = strings.ReplaceAll(text, m.Path+"/", p.dirs[m.Name]+"/")
	}
	return text
}

// file returns the path on this machine of a container's file, after change was
// applied to it.
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

// mounted returns the directory at a path of a container.
func (p *pod) mounted(container, path string) string {
	p.t.Helper()
	return filepath.Clean(p.inContainer(container, path+"/"))
}
