// Command reablement-capacity runs the service that matches people who need reablement with providers who have room for them.
package main

import (
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/kit/service"
	reablementcapacity "github.com/homeward-care/homeward/services/reablement-capacity"
	"github.com/homeward-care/homeward/services/reablement-capacity/migrations"
)

func main() { service.Main("reablement-capacity", migrations.FS, reablementcapacity.Run) }
