package devinfra

import "testing"

func TestChoosePostgres(t *testing.T) {
	found := []pgBinaries{{dir: "path", major: 14}, {dir: "new", major: 18}, {dir: "old", major: 15}}
	for _, c := range []struct {
		name   string
		found  []pgBinaries
		wanted int
		want   string
	}{
		{"the first that is new enough", found, 0, "new"},
		{"the version that made the data", found, 15, "old"},
		{"a version that is not there", found, 16, ""},
		{"a version too old to be tested on, even if it made the data", found, 14, ""},
		{"nothing installed", nil, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := choosePostgres(c.found, c.wanted)
			if got.dir != c.want || ok != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got.dir, ok, c.want)
			}
		})
	}
}

func TestOnlyTheServerAndItsLibrariesAreFetched(t *testing.T) {
	for name, want := range map[string]bool{
		"postgresql-15": true, "libpq5": true, "libllvm14": true, "libicu72": true,
		"postgresql": false, "postgresql-common": false, "postgresql-client-15": false, "libjson-perl": false, "ssl-cert": false, "perl": false,
	} {
		if got := isServerOrLibrary(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
