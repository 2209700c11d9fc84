package password

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"keyward/authz"
)

// Command starts a child.
type Command struct {
	// Args are a program and its arguments that run [Serve] on standard input
	// and output. By the name it was itself called, os.Args[0], it is this very program,
	// whatever another version has been put in its place since.
	Args []string
	// LowPriority are the further arguments of a child that calls
	// [LowerPriority] first. None: all children have normal priority.
	LowPriority []string
}

// ProcessesConfig says how passwords are hashed outside of this process.
type WorkerProcessesConfig struct {
	Command Command
	// Patience is how long one hash may take before its process is given up; 0
	// is 3 s, more than twice what the most expensive hash takes.
	Timeout time.Duration
	Log     *slog.Logger // nil: nothing is logged
}

// Processes verify passwords in child processes of low priority, as many as
// verify at a time; who calls bounds that. A hash takes a core for tens of milliseconds and
// leaves 19 MiB to the garbage collector, and neither is then in the way of
// checks; see [Pool] for what was measured. The first hashes of a quiet time go
// at normal priority: see prompt. A child sees the stored hash and the password it
// is asked about, and nothing else: no keys, no environment.
type WorkerProcesses struct {
	cfg WorkerProcessesConfig

	mu     sync.Mutex
	idle   [priorities][]*process
	prompt prompt
}

// priority is how a child stands to the other work of the machine.
type schedPriority uint8

const (
	lowPriority schedPriority = iota
	normalPriority
	priorities
)

const defaultTimeout = 3 * time.Second

// NewProcesses starts one child, so that a command that can't be run is an error now and not at the first password.
func NewWorkerProcesses(cfg WorkerProcessesConfig) (*WorkerProcesses, error) {
	if len(cfg.Command.Args) == 0 {
		return nil, errors.New("password: no command that hashes")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &WorkerProcesses{cfg: cfg}
	first, err := p.start(normalPriority) // the one that the first hash needs
	if err != nil {
		return nil, err
	}
	p.put(first)
	return p, nil
}

// Verify tells whether the stored hash is of the password. An error means that
// nobody can tell. A child that fails is replaced, and one that may have died of old age
// is given no second chance: its question is put to another.
func (p *WorkerProcesses) Verify(hash, password authz.Secret) (bool, error) {
	c, fresh, err := p.take()
	for err == nil {
		var right bool
		began := time.Now()
		right, err = c.verify(hash, password, p.cfg.Timeout)
		p.charge(c, began)
		if err == nil || errors.Is(err, errUnverifiable) {
			p.put(c)
			return right, err
		}
		c.kill()
		p.cfg.Log.Warn("a process that hashes passwords failed", "error", err)
		if fresh {
			break
		}
		fresh = true
		c, err = p.start(c.priority)
	}
	return false, fmt.Errorf("hashing a password: %w", err)
}

// take returns a child that waits, or a fresh one.
func (p *WorkerProcesses) take() (c *process, fresh bool, err error) {
	p.mu.Lock()
	of := lowPriority
	if p.prompt.allows(time.Now()) {
		of = normalPriority
	}
	if n := len(p.idle[of]); n > 0 {
		c, p.idle[of] = p.idle[of][n-1], p.idle[of][:n-1]
	}
	p.mu.Unlock()
	if c != nil {
		return c, false, nil
	}
	c, err = p.start(of)
	return c, true, err
}

// charge counts the time that a child of normal priority took.
func (p *WorkerProcesses) charge(c *process, began time.Time) {
	if c.priority != normalPriority {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prompt.use(now.Sub(began), now)
}

func (p *WorkerProcesses) put(c *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[c.priority] = append(p.idle[c.priority], c)
}

// Close ends all children. Nobody may be in Verify, nor come there later.
func (p *WorkerProcesses) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for of, idle := range p.idle {
		for _, c := range idle {
			c.kill()
		}
		p.idle[of] = nil
	}
}

// process is one child, with our ends of its standard input and output.
type process struct {
	cmd      *exec.Cmd
	in, out  *os.File
	priority schedPriority
}

func (p *WorkerProcesses) start(of schedPriority) (*process, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	c := &process{cmd: p.command(of), in: in, out: out, priority: of}
	c.cmd.Stdin, c.cmd.Stdout = theirIn, theirOut
	c.cmd.SysProcAttr = childAttributes()
	// One core; and a collector that gives back what one hash took before the next one takes as much.
	c.cmd.Env = []string{"GOMAXPROCS=1", "GOGC=20"}
	err = c.cmd.Start()
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a process that hashes passwords: %w", err), in.Close(), out.Close())
	}
	return c, nil
}

func (p *WorkerProcesses) command(of schedPriority) *exec.Cmd {
	args := p.cfg.Command.Args
	if of == lowPriority {
		args = slices.Concat(args, p.cfg.Command.LowPriority)
	}
	if args[0] == os.Args[0] {
		return &exec.Cmd{Path: selfExecutable(), Args: args} // many programs tell by that name what to be
	}
	return exec.Command(args[0], args[1:]...)
}

// kill ends the child and waits for it. It has nothing to finish.
func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	_, _ = c.in.Close(), c.out.Close()
	_ = c.cmd.Wait()
}

// The answers of a child, one byte each.
const (
	isRight        = 'y'
	isWrong        = 'n'
	isUnverifiable = 'e'
)

var errUnverifiable = errors.New("password: a stored hash that can't be verified")

func (c *process) verify(hash, password authz.Secret, patience time.Duration) (bool, error) {
	deadline := time.Now().Add(patience)
	if err := errors.Join(c.in.SetDeadline(deadline), c.out.SetDeadline(deadline)); err != nil {
		return false, err
	}
	question := appendText(appendText(nil, hash.Reveal()), password.Reveal())
	defer clear(question)
	if _, err := c.in.Write(question); err != nil {
		return false, err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c.out, answer[:]); err != nil {
		return false, err
	}
	switch answer[0] {
	case isRight:
		return true, nil
	case isWrong:
		return false, nil
	case isUnverifiable:
		return false, errUnverifiable
	default:
		return false, errors.New("an answer that is none")
	}
}

// Serve is the child's life, after [LowerPriority] if it is to have that: it answers questions, each a
// stored hash and a password with their lengths before them, until there are no more.
func Serve(in io.Reader, out io.Writer, verify func(hash, password authz.Secret) (bool, error)) error {
	questions := bufio.NewReader(in)
	for {
		hash, err := readText(questions)
		if errors.Is(err, io.EOF) {
			return nil // our parent has ended, or needs us no longer
		}
		if err != nil {
			return err
		}
		password, err := readText(questions)
		if err != nil {
			return err
		}
		answer := byte(isWrong)
		switch right, err := verify(authz.NewSecret(hash), authz.NewSecret(password)); {
		case err != nil:
			answer = isUnverifiable
		case right:
			answer = isRight
		}
		if _, err := out.Write([]byte{answer}); err != nil {
			return err
		}
	}
}

// appendText writes a text of at most 64 KiB, far above what a hash or a password may have.
func appendText(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(text))), text...)
}

func readText(r io.Reader) (string, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, text)
	return string(text), err
}
