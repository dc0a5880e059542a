package hospital

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Wiring is how a hub is connected with a hospital that is told back.
type Wiring struct {
	// Feeds is the folder of the hub's feeds, Client the file of the client to whom Tasks are posted.
	Feeds, Client string
	// Answered are the keys of the feeds whose wards are told, at the host:port Ward.
	Answered []string
	Ward     string
	// Webhook is the host:port to which Tasks are posted, Secret what they are signed with.
	Webhook, Secret string
}

// Environment writes the configuration of a hub in dir, and returns the hub's variables that name it.
func (w Wiring) Environment(dir string) ([]string, error) {
	feeds, clients := filepath.Join(dir, "feeds-told"), filepath.Join(dir, "clients-told")
	for _, folder := range []string{feeds, clients} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	names, err := filepath.Glob(filepath.Join(w.Feeds, "*.json"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no feeds in %s: %w", w.Feeds, err)
	}
	for _, name := range names {
		if err := change(name, filepath.Join(feeds, filepath.Base(name)), func(feed map[string]any) {
			for _, key := range w.Answered {
				if feed["key"] == key {
					feed["answers"] = map[string]any{"addr": w.Ward, "application": key, "facility": "TEST"}
				}
			}
		}); err != nil {
			return nil, err
		}
	}
	secret := filepath.Join(clients, "webhook.secret")
	if err := os.WriteFile(secret, []byte(w.Secret), 0o600); err != nil {
		return nil, err
	}
	err = change(w.Client, filepath.Join(clients, filepath.Base(w.Client)), func(client map[string]any) {
		client["webhook"] = map[string]any{"url": "http://" + w.Webhook + "/homeward", "secret_file": secret}
	})
	return []string{"FEEDS_DIR=" + feeds, "CLIENTS_DIR=" + clients}, err
}

// change writes a changed copy of a file of JSON.
func change(from, to string, do func(map[string]any)) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	do(file)
	if text, err = json.Marshal(file); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}
