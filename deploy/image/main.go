// Command image makes Keyward's container image: an OCI image layout for linux/amd64
// and linux/arm64, from scratch, without a container engine. `make image` runs it.
//
// ko would be the usual tool, but takes its base image out of a registry and knows no
// empty one, so this does what ko does with the library under ko, go-containerregistry. It
// is a module of its own, since none of this is Keyward's to depend on.
//
// It refuses to make an image of a tree that is under no version control: the revision and
// all times come out of what the compiler stamped into the program, and so does the SBOM.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// options are what an image is made of.
type options struct {
	Source  string    // the folder of Keyward's module
	Out     string    // a folder: oci/, keyward.tar and the SBOMs in it are replaced
	Name    string    // of the image, with its registry or without; no part of the digest
	Version string    // is the image's tag too
	URL     string    // where the source is published, for a label; empty is no label
	Created time.Time // of the image and the files in it; zero is the time of the commit

	Root, Arch string // a directory that the image's files for one architecture are written to, in place of an image
}

func main() {
	var o options
	flag.StringVar(&o.Source, "source", "../..", "the `folder` of Keyward's module")
	flag.StringVar(&o.Out, "out", "../../bin/image", "the `folder` to write to")
	flag.StringVar(&o.Name, "name", "keyward", "the image's name")
	flag.StringVar(&o.Version, "version", "", "the version, and the image's tag")
	flag.StringVar(&o.URL, "url", "", "where the source is published")
	flag.StringVar(&o.Root, "root", "", "write what is in the image to this `directory`, and no image")
	flag.StringVar(&o.Arch, "arch", runtime.GOARCH, "the architecture, with -root")
	flag.Parse()
	if err := run(o, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func run(o options, epoch string) error {
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
		}
		o.Created = time.Unix(seconds, 0)
	}
	if o.Root != "" {
		return writeRoot(o)
	}
	made, err := makeImage(o)
	if err != nil {
		return err
	}
	for _, p := range made.Platforms {
		fmt.Printf("%s/%s  %s  %.1f MB to pull, %.1f MB unpacked\n", p.OS, p.Arch, p.Digest, megabytes(p.Compressed), megabytes(p.Unpacked))
	}
	fmt.Printf("%s  %s\n", made.Reference, made.Digest)
	return nil
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }
