package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
)

const license = "Apache-2.0"

// rootsModule is the module with the image's certificates. Its version is that
// of this program, which links it.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// The parts of an SPDX 2.3 document that are used here.
type spdxDocument struct {
	SPDXVersion       string             `json:"spdxVersion"`
	DataLicense       string             `json:"dataLicense"`
	SPDXID            string             `json:"SPDXID"`
	Name              string             `json:"name"`
	DocumentNamespace string             `json:"documentNamespace"`
	CreationInfo      spdxCreation       `json:"creationInfo"`
	Packages          []spdxPackage      `json:"packages"`
	Relationships     []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	SPDXID           string          `json:"SPDXID"`
	Name             string          `json:"name"`
	VersionInfo      string          `json:"versionInfo"`
	DownloadLocation string          `json:"downloadLocation"`
	FilesAnalyzed    bool            `json:"filesAnalyzed"`
	LicenseConcluded string          `json:"licenseConcluded"`
	LicenseDeclared  string          `json:"licenseDeclared"`
	CopyrightText    string          `json:"copyrightText"`
	SourceInfo       string          `json:"sourceInfo,omitempty"`
	Checksums        []spdxChecksum  `json:"checksums,omitempty"`
	ExternalRefs     []spdxReference `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxReference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const (
	unknown = "NOASSERTION"
	self    = "SPDXRef-keyward"
)

// spdx lists the content of an image: the program, each module and the standard
// library that the compiler linked, and the certificates.
func spdx(p *program, created time.Time) ([]byte, error) {
	document := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT",
		Name:              fmt.Sprintf("keyward-%s-%s-%s", p.Version, p.OS, p.Arch),
		DocumentNamespace: fmt.Sprintf("https://spdx.org/spdxdocs/keyward-%s-%s-%s-%s", p.Version, p.OS, p.Arch, p.sha256()),
		CreationInfo:      spdxCreation{Created: created.Format(time.RFC3339), Creators: []string{"Tool: keyward-deploy-image"}},
		Relationships:     []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", self}},
	}
	program := newPackage(self, "keyward", p.Version)
	program.LicenseDeclared = license
	program.SourceInfo = "commit " + p.revision()
	program.Checksums = []spdxChecksum{{"SHA256", p.sha256()}}
	document.Packages = append(document.Packages, program)

	roots, err := rootsPackage()
	if err != nil {
		return nil, err
	}
	for _, part := range append(modules(p.Info), roots) {
		document.Packages = append(document.Packages, part)
		document.Relationships = append(document.Relationships, spdxRelationship{self, "DEPENDS_ON", part.SPDXID})
	}
	return json.MarshalIndent(document, "", "  ")
}

func modules(info *debug.BuildInfo) []spdxPackage {
	std := newPackage(spdxID("stdlib", info.GoVersion), "stdlib", info.GoVersion)
	std.ExternalRefs = []spdxReference{packageURL("stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	all := []spdxPackage{std}
	for _, module := range info.Deps {
		all = append(all, modulePackage(module))
	}
	return all
}

func modulePackage(module *debug.Module) spdxPackage {
	if module.Replace != nil {
		module = module.Replace
	}
	p := newPackage(spdxID(module.Path, module.Version), module.Path, module.Version)
	p.ExternalRefs = []spdxReference{packageURL(module.Path, module.Version)}
	if module.Sum != "" {
		p.SourceInfo = "go.sum " + module.Sum // a hash of names and hashes, for which SPDX has no algorithm
	}
	return p
}

func rootsPackage() (spdxPackage, error) {
	own, ok := debug.ReadBuildInfo()
	if ok {
		for _, module := range own.Deps {
			if module.Path == rootsModule {
				p := modulePackage(module)
				p.SourceInfo += "; its certificates are /etc/ssl/certs/ca-certificates.crt"
				return p, nil
			}
		}
	}
	return spdxPackage{}, fmt.Errorf("this program's build information does not name %s", rootsModule)
}

func newPackage(id, name, version string) spdxPackage {
	return spdxPackage{SPDXID: id, Name: name, VersionInfo: version, DownloadLocation: unknown, LicenseConcluded: unknown, LicenseDeclared: unknown, CopyrightText: unknown}
}

func packageURL(path, version string) spdxReference {
	return spdxReference{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")}
}

var notInID = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// spdxID returns an id that is unique for a path and a version. Two module
// paths could only share one if they differed in punctuation alone, which a
// test would detect.
func spdxID(path, version string) string {
	return "SPDXRef-" + notInID.ReplaceAllString(path+"-"+version, "-")
}
