// Command light-touch-assessment runs the service of the safe-discharge assessment.
package main

import (
	_ "time/tzdata"

	"github.com/homeward-care/homeward/services/kit/service"
	lighttouch "github.com/homeward-care/homeward/services/light-touch-assessment"
	"github.com/homeward-care/homeward/services/light-touch-assessment/migrations"
)

func main() { service.Main("light-touch-assessment", migrations.FS, lighttouch.Run) }
