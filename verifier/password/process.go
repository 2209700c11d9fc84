package password

import (
	"errors"
	"fmt"
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
	// Path is the file to run; "" finds Args[0] as a shell does. For children that
	// are this program too, it should name the version that runs, whatever has been
	// put in the place of its file since.
	Path string
	// Args are the name that the child is called by and its arguments, with which
	// it runs [Serve] on standard input and output.
	Args []string
	// LowPriority are the further arguments of a child that calls
	// [LowerPriority] first. None: all children have normal priority.
	LowPriority []string
}

// WorkerProcessesConfig says how passwords are hashed outside this process.
type WorkerProcessesConfig struct {
	Command Command
	// Timeout is how long one hash may take before its process is killed; 0 is
	// 3 s, more than twice what the most expensive hash takes.
	Timeout time.Duration
	Log     *slog.Logger // nil: nothing is logged
}

// WorkerProcesses verify and hash passwords in child processes of low priority, one per
// concurrent call; the caller bounds these. A hash occupies a core
// for tens of milliseconds and leaves 19 MiB to the garbage collector, and in a
// child neither delays checks; see [Pool] for the measurements. The first
// hashes after a quiet time run at normal priority: see priorityBudget. A child
// receives the stored hash and the password, and nothing else: no keys, no
// environment.
type WorkerProcesses struct {
	cfg WorkerProcessesConfig

	mu     sync.Mutex
	idle   [priorities][]*process
	budget priorityBudget
}

// schedPriority is a child's scheduling priority.
type schedPriority uint8

const (
	lowPriority schedPriority = iota
	normalPriority
	priorities
)

const defaultTimeout = 3 * time.Second

// NewWorkerProcesses starts one child, so that a command that cannot be run is
// an error now and not at the first password.
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

// Verify reports whether the stored hash is of the password. An error means
// that this could not be determined.
func (p *WorkerProcesses) Verify(hash, password authz.Secret) (right bool, err error) {
	err = p.ask(func(c *process) (err error) {
		right, err = c.verify(hash, password, p.cfg.Timeout)
		return err
	})
	return right, err
}

// Hash returns a hash of the password, under a salt of its own.
func (p *WorkerProcesses) Hash(password authz.Secret) (hash string, err error) {
	err = p.ask(func(c *process) (err error) {
		hash, err = c.hash(password, p.cfg.Timeout)
		return err
	})
	return hash, err
}

// ask has a child answer. A child that fails is replaced. If it was an idle one,
// which may have died earlier, the request is repeated with a new child.
func (p *WorkerProcesses) ask(request func(*process) error) error {
	c, fresh, err := p.take()
	for err == nil {
		began := time.Now()
		err = request(c)
		p.charge(c, began)
		if err == nil || errors.Is(err, errUnverifiable) {
			p.put(c)
			return err
		}
		c.kill()
		p.cfg.Log.Warn("a process that hashes passwords failed", "error", err)
		if fresh {
			break
		}
		fresh = true
		c, err = p.start(c.priority)
	}
	return fmt.Errorf("hashing a password: %w", err)
}

// take returns an idle child, or a new one.
func (p *WorkerProcesses) take() (c *process, fresh bool, err error) {
	p.mu.Lock()
	of := lowPriority
	if p.budget.allows(time.Now()) {
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

// charge counts the time that a child of normal priority used.
func (p *WorkerProcesses) charge(c *process, began time.Time) {
	if c.priority != normalPriority {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget.charge(now.Sub(began), now)
}

func (p *WorkerProcesses) put(c *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[c.priority] = append(p.idle[c.priority], c)
}

// Close ends all children. Verify must not be running, and must not be called
// later.
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

// process is one child, with this process's ends of its standard input and
// output.
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
	// One core; and a collector that frees the memory of one hash before the
	// next one.
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
	if p.cfg.Command.Path != "" {
		return &exec.Cmd{Path: p.cfg.Command.Path, Args: args}
	}
	return exec.Command(args[0], args[1:]...)
}

// kill ends the child, which has nothing to clean up, and waits for it.
func (c *process) kill() {
	_ = c.cmd.Process.Kill()
	_, _ = c.in.Close(), c.out.Close()
	_ = c.cmd.Wait()
}
