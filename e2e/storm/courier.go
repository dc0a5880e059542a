package storm

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/homeward-care/homeward/tools/devstack/stack"
)

// courierFaults damage what NATS has on disk while it is down, as bad hardware and worse operators do.
func (s *storm) courierFaults() []fault {
	damage := func(kind string, do func(r *rand.Rand) error) fault {
		return fault{"JetStream's files: " + kind, "nats", func(_ context.Context, r *rand.Rand) (func() error, error) {
			nats := s.stack.Part("nats")
			err := errors.Join(nats.Crash(), do(r))
			nats.Start()
			return nil, err
		}}
	}
	return []fault{
		damage("a bit flipped", func(r *rand.Rand) error {
			return s.spoil(r, func(data []byte) []byte {
				data[r.IntN(len(data))] ^= 1 << r.IntN(8)
				return data
			})
		}),
		damage("one cut short", func(r *rand.Rand) error {
			return s.spoil(r, func(data []byte) []byte { return data[:r.IntN(len(data))] })
		}),
		damage("wiped", func(*rand.Rand) error { return s.wipe() }),
		{"JetStream's files: wiped while a service was down", "nats", func(_ context.Context, r *rand.Rand) (func() error, error) {
			down, nats := s.stack.Part(stack.Services[r.IntN(len(stack.Services))].Name), s.stack.Part("nats")
			return func() error {
				err := errors.Join(nats.Crash(), s.wipe())
				nats.Start()
				down.Start()
				return err
			}, down.Crash()
		}},
	}
}

func (s *storm) wipe() error {
	entries, err := os.ReadDir(s.stack.NATSDir())
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.stack.NATSDir(), e.Name())))
	}
	return err
}

// spoil changes one of JetStream's files. Half the time it is one that holds messages, otherwise any.
func (s *storm) spoil(r *rand.Rand, change func([]byte) []byte) error {
	var any, blocks []string
	err := filepath.WalkDir(s.stack.NATSDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 {
			return err
		}
		any = append(any, path)
		if filepath.Ext(path) == ".blk" {
			blocks = append(blocks, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	from := any
	if len(blocks) > 0 && r.IntN(2) == 0 {
		from = blocks
	}
	if len(from) == 0 {
		return errors.New("JetStream has no files")
	}
	path := from[r.IntN(len(from))]
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s.note("  the file is %s, %d bytes", path, len(data))
	return os.WriteFile(path, change(data), 0o600)
}
