package discharge

import (
	"io/fs"
	"reflect"
	"testing"

	"github.com/homeward-care/homeward/services/discharge-hub/feeds"
)

func TestFeedIsWrittenAsItIsRead(t *testing.T) {
	all, err := LoadFeeds(feeds.Files)
	if err != nil {
		t.Fatal(err)
	}
	names, _ := fs.Glob(feeds.Files, "*.json")
	for i, feed := range all {
		feed.Mapping.Methods = map[string]string{"OWN WAY": "6"}
		text, err := feed.File()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseFeed(names[i], text); err != nil || !reflect.DeepEqual(again, feed) {
			t.Errorf("%s became\n%s%v", names[i], text, err)
		}
	}
}
