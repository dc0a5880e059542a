// Command community-pickup decides what becomes of each discharge and lets the CLS teams work their pick-ups.
package main

import (
	_ "time/tzdata" // due dates are civil dates in London, and an image FROM scratch has no zones

	communitypickup "github.com/homeward-care/homeward/services/community-pickup"
	"github.com/homeward-care/homeward/services/community-pickup/migrations"
	"github.com/homeward-care/homeward/services/kit/service"
)

func main() {
	service.Main("community-pickup", migrations.FS, communitypickup.Run)
}
