package sim

// restoreState follows a database that is put back to an earlier point.
type restoreState struct{}

func (r *restoreState) open() bool         { return false }
func (r *restoreState) holds(n *node) bool { return false }
func (r *restoreState) goOn()              {}
func (r *restoreState) finish()            {}
func (w *world) restoreOne(string) bool    { return false }
