package devinfra

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFolderBelowAClosedOneCannotBeEntered(t *testing.T) {
	stranger := account{uid: 54321, gid: 54321}
	closed := filepath.Join(openFolder(t), "closed")
	below := filepath.Join(closed, "below")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if !canEnter(below, stranger) {
		t.Error("open folders all the way, and it cannot be entered")
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if canEnter(below, stranger) {
		t.Error("it can be entered through a closed folder")
	}
	if !canEnter(below, account{uid: os.Geteuid()}) {
		t.Error("its owner cannot enter it")
	}
}

func TestStateLivesInTheCheckoutUnlessToldOtherwise(t *testing.T) {
	t.Setenv("HOMEWARD_STATE", "")
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "go.work"), []byte("go 1.26.8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(root, "services", "kit")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(inner)
	if got, err := StateDir(); err != nil || got != filepath.Join(root, ".homeward") {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("HOMEWARD_STATE", "/elsewhere")
	if got, err := StateDir(); err != nil || got != "/elsewhere" {
		t.Errorf("got %q, %v", got, err)
	}
}
