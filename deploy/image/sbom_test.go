package main

import (
	"archive/tar"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestSBOM: the document lists exactly what `go version -m` reports about the
// program in the image, the standard library and the certificates.
func TestSBOM(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		content, err := os.ReadFile(filepath.Join(built.out, "keyward-linux-"+arch+".spdx.json"))
		fatal(t, err)
		var document spdxDocument
		fatal(t, json.Unmarshal(content, &document))

		program, inside := programOf(t, arch)
		want := []string{"keyward v1.2.3-test"}
		for _, line := range strings.Split(string(inside), "\n") {
			fields := strings.Fields(line)
			switch {
			case strings.HasPrefix(line, program+": "):
				want = append(want, "stdlib "+fields[1])
			case len(fields) == 4 && fields[0] == "dep":
				want = append(want, fields[1]+" "+fields[2]+" go.sum "+fields[3])
			}
		}
		if len(want) < 20 {
			t.Fatalf("%s: go version -m prints only %q", arch, want)
		}
		var got, ids []string
		for _, p := range document.Packages {
			ids = append(ids, p.SPDXID)
			switch p.Name {
			case "keyward", "stdlib":
				got = append(got, p.Name+" "+p.VersionInfo)
			case rootsModule:
				if !strings.HasPrefix(p.SourceInfo, "go.sum h1:") || !strings.HasSuffix(p.SourceInfo, "ca-certificates.crt") {
					t.Errorf("%s: the certificates come from %q", arch, p.SourceInfo)
				}
			default:
				got = append(got, p.Name+" "+p.VersionInfo+" "+p.SourceInfo)
			}
		}
		if len(document.Packages) != len(got)+1 {
			t.Errorf("%s: the certificates are not listed once", arch)
		}
		if missing, extra := without(want, got), without(got, want); len(missing)+len(extra) > 0 {
			t.Errorf("%s: the SBOM lacks %q, and additionally has %q", arch, missing, extra)
		}
		if distinct := slices.Compact(slices.Sorted(slices.Values(ids))); len(distinct) != len(ids) {
			t.Errorf("%s: an SPDXID occurs twice in %q", arch, ids)
		}
		if sum := document.Packages[0].Checksums[0].Value; sum != hashOf(t, program) {
			t.Errorf("%s: the SBOM is of a program %s", arch, sum)
		}
		if len(document.Relationships) != len(document.Packages) {
			t.Errorf("%s: %d relationships for %d packages", arch, len(document.Relationships), len(document.Packages))
		}
	}
}

func without(all, these []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(these, s) })
}

// programOf extracts the program from an image, and runs `go version -m` on it.
func programOf(t *testing.T, arch string) (file string, info []byte) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "keyward")
	layers, err := image(t, arch).Layers()
	fatal(t, err)
	for _, l := range layers {
		eachEntry(t, l, func(h *tar.Header, content []byte) {
			if h.Name == "keyward" {
				fatal(t, os.WriteFile(file, content, 0o755))
			}
		})
	}
	info, err = exec.Command("go", "version", "-m", file).Output()
	fatal(t, err)
	return file, info
}

func hashOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	fatal(t, err)
	return (&program{Bytes: content}).sha256()
}

// TestAttestation: each image has an attestation with its SBOM, equal to the
// file and about that image only, both as a referrer and in BuildKit's form.
func TestAttestation(t *testing.T) {
	_, all := index(t, built.path)
	manifest, err := all.IndexManifest()
	fatal(t, err)
	found := 0
	for _, entry := range manifest.Manifests {
		if entry.Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
			continue
		}
		found++
		if entry.Platform.OS != "unknown" || entry.Platform.Architecture != "unknown" {
			t.Errorf("a runtime might take the attestation for an image for %s", entry.Platform)
		}
		artifact, err := all.Image(entry.Digest)
		fatal(t, err)
		checkAttestation(t, artifact, entry.Annotations["vnd.docker.reference.digest"])
	}
	if found != 2 {
		t.Errorf("%d attestations", found)
	}
}

func checkAttestation(t *testing.T, artifact v1.Image, about string) {
	t.Helper()
	manifest, err := artifact.Manifest()
	fatal(t, err)
	var arch string
	for _, a := range []string{"amd64", "arm64"} {
		if must(image(t, a).Digest())(t).String() == about {
			arch = a
		}
	}
	if arch == "" || manifest.Subject == nil || manifest.Subject.Digest.String() != about || manifest.ArtifactType != attestationType {
		t.Fatalf("%s about %q, subject %v", manifest.ArtifactType, about, manifest.Subject)
	}
	layers, err := artifact.Layers()
	fatal(t, err)
	if len(layers) != 1 || manifest.Layers[0].MediaType != statementType || manifest.Layers[0].Annotations["in-toto.io/predicate-type"] != predicateType {
		t.Fatalf("layers %v", manifest.Layers)
	}
	var said statement
	fatal(t, json.Unmarshal(readAll(t, layers[0].Compressed), &said))
	if said.PredicateType != predicateType || len(said.Subject) != 1 || "sha256:"+said.Subject[0].Digest["sha256"] != about {
		t.Errorf("the statement is %s about %v", said.PredicateType, said.Subject)
	}
	var one, two any
	content, err := os.ReadFile(filepath.Join(built.out, "keyward-linux-"+arch+".spdx.json"))
	fatal(t, err)
	fatal(t, json.Unmarshal(content, &one))
	fatal(t, json.Unmarshal(said.Predicate, &two))
	if a, b := must(json.Marshal(one))(t), must(json.Marshal(two))(t); string(a) != string(b) {
		t.Errorf("linux/%s: the attestation and the file differ", arch)
	}
}
