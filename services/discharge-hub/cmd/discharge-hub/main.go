// Command discharge-hub takes in what hospitals tell about discharges and publishes each spell.
package main

import (
	_ "time/tzdata" // hospitals write local times, and an image FROM scratch has no zones

	dischargehub "github.com/homeward-care/homeward/services/discharge-hub"
	"github.com/homeward-care/homeward/services/discharge-hub/migrations"
	"github.com/homeward-care/homeward/services/kit/service"
)

func main() {
	service.Main("discharge-hub", migrations.FS, dischargehub.Run, dischargehub.Commands()...)
}
