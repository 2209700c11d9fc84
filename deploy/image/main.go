// Command image builds Keyward's container image: an OCI image layout for
// linux/amd64 and linux/arm64, from scratch, without a container engine. `make
// image` runs it.
//
// ko would be the usual tool, but it takes its base image from a registry and
// has no empty one. This command does what ko does, with ko's library,
// go-containerregistry. It is a separate module, so that Keyward does not
// depend on that.
//
// It refuses to build an image of a tree that is not under version control: the
// revision, all times and the SBOM come from what the compiler stamps into the
// program.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// options are the inputs of an image.
type options struct {
	Source  string    // directory of Keyward's module
	Out     string    // directory; oci/, keyward.tar and the SBOMs in it are replaced
	Name    string    // of the image, with or without a registry; not part of the digest
	Version string    // also the image's tag
	URL     string    // where the source is published, for a label; empty for no label
	Created time.Time // of the image and its files; zero for the time of the commit

	Root, Arch string // directory to which the files for one architecture are written, instead of an image
}

func main() {
	var o options
	flag.StringVar(&o.Source, "source", "../..", "the `directory` of Keyward's module")
	flag.StringVar(&o.Out, "out", "../../bin/image", "the `directory` to write to")
	flag.StringVar(&o.Name, "name", "keyward", "the image's name")
	flag.StringVar(&o.Version, "version", "", "the version, and the image's tag")
	flag.StringVar(&o.URL, "url", "", "where the source is published")
	flag.StringVar(&o.Root, "root", "", "write the image's files to this `directory`, and no image")
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
