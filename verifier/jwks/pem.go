package jwks

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// ParseFile reads the keys that an operator has put into a file: a JWKS
// document, or public keys in PEM (RFC 7468).
func ParseFile(data []byte) (*Set, error) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && bytes.Contains(data, []byte(beginPEM)) {
		return parsePEM(data)
	}
	return Parse(data)
}

const beginPEM = "-----BEGIN "

var errPrivatePEM = errors.New("jwks: it has a private key, which signs tokens and must not be here: " +
	"write the public key alone (openssl pkey -in FILE -pubout), and replace the key at the issuer if others could read this file")

// parsePEM reads blocks of SPKI (PUBLIC KEY), PKCS #1 (RSA PUBLIC KEY) and
// certificates, of which only the key counts: not the dates, and not the issuer.
// The keys have no ids, so a token's kid says nothing about them.
//
// The file is refused if it has a private key, a block that is damaged, or no
// key that can be used. As in Parse, a key that must not be used is left out.
func parsePEM(data []byte) (*Set, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("jwks: over %d bytes", maxSize)
	}
	labels := pemLabels(string(data))
	for _, label := range labels {
		if strings.Contains(label, "PRIVATE") {
			return nil, errPrivatePEM
		}
	}
	if len(labels) > maxKeys {
		return nil, fmt.Errorf("jwks: over %d keys", maxKeys)
	}
	set := newSet()
	set.ignoreKeyID = true
	for i := range labels {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			// pem.Decode steps over damaged blocks, and so the number differs.
			return nil, fmt.Errorf("jwks: one of the %d blocks of PEM is damaged: it is cut off, or is not base64", len(labels))
		}
		params, err := parseBlock(block)
		if err != nil {
			set.ignored = append(set.ignored, Ignored{Index: i, Why: err.Error()})
			continue
		}
		set.add(newKey("", false, params.algorithms, params))
	}
	return set.usable()
}

// pemLabels returns what each block says that it is, of damaged ones too.
func pemLabels(text string) (labels []string) {
	for {
		_, after, found := strings.Cut(text, beginPEM)
		if !found {
			return labels
		}
		label, _, _ := strings.Cut(after, "\n")
		labels = append(labels, label)
		text = after
	}
}

var errBlock = errors.New("it is not a block of PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE")

func parseBlock(block *pem.Block) (publicKeyParams, error) {
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return publicKeyParams{}, errBlock
	}
	if err != nil { // whose text may quote the content
		return publicKeyParams{}, errors.New("it does not have a public key that can be read")
	}
	return paramsOf(key)
}

// paramsOf checks a key as strictly as one in a JWKS document.
func paramsOf(key any) (publicKeyParams, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsaParams(key.N.Bytes(), big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			return publicKeyParams{}, errCurve
		}
		return ecParams(key.Curve, point)
	case ed25519.PublicKey:
		return ed25519Params(key)
	default:
		return publicKeyParams{}, errors.New("it is not a key of RSA, ECDSA or Ed25519")
	}
}
