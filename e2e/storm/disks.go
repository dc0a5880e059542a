package storm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// disk is a small file system of its own, in memory, that can be full at any moment.
type disk struct {
	dir  string
	size int64 // bytes
}

// mount makes the disk. It needs the right to mount, as root has it.
func (d *disk) mount() error {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", d.size)); err != nil {
		return fmt.Errorf("mount a small disk on %s: %w", d.dir, err)
	}
	return nil
}

func (d *disk) unmount() error { return syscall.Unmount(d.dir, syscall.MNT_DETACH) }

// fill takes away all that is free: the file system shrinks to what is used.
func (d *disk) fill() error {
	var err error
	for range 20 { // it may grow between the look and the shrinking
		var fs syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &fs); err != nil {
			return err
		}
		used := int64(fs.Blocks-fs.Bfree) * int64(fs.Bsize)
		if err = d.resize(used); err == nil {
			return nil
		}
	}
	return fmt.Errorf("fill %s: %w", d.dir, err)
}

func (d *disk) relieve() error { return d.resize(d.size) }

func (d *disk) resize(size int64) error {
	return syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size))
}

// The disks' sizes are more than a storm of an hour writes.
const (
	databaseDisk = 4 << 30
	courierDisk  = 1 << 30
)

// mountDisks puts PostgreSQL's data and JetStream's files in dir on disks of their own.
func (s *storm) mountDisks(dir string) error {
	s.database = &disk{filepath.Join(dir, "postgres"), databaseDisk}
	s.courier = &disk{filepath.Join(dir, "nats"), courierDisk}
	for _, d := range []*disk{s.database, s.courier} {
		if err := d.mount(); err != nil {
			return err
		}
		s.atEnd = append(s.atEnd, d.unmount)
	}
	return nil
}

// diskFaults fill the disks.
func (s *storm) diskFaults() []fault {
	full := func(d **disk) func(context.Context, *rand.Rand) (func() error, error) {
		return func(context.Context, *rand.Rand) (func() error, error) { return (*d).relieve, (*d).fill() }
	}
	return []fault{
		{"disk full: tables", "postgres", full(&s.database)},
		{"disk full: write-ahead log", "postgres", func(ctx context.Context, _ *rand.Rand) (func() error, error) {
			if err := s.database.fill(); err != nil {
				return nil, err
			}
			return s.database.relieve, s.exhaustLog(ctx)
		}},
		{"disk full: JetStream", "nats", full(&s.courier)},
	}
}

// exhaustLog makes PostgreSQL begin new segments of its log until there is no room for one, and it goes down by that.
func (s *storm) exhaustLog(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	db, err := pgx.Connect(ctx, s.stack.Databases["discharge-hub"])
	if err != nil {
		return errAway
	}
	defer db.Close(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		if _, err := db.Exec(ctx, `SELECT pg_logical_emit_message(false, 'storm', repeat('x', 1000)), pg_switch_wal()`); err != nil {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL still finds room for its log")
}
