package discharge

import "strings"

// noFixedAbode is the NHS pseudo postcode of somebody without a fixed abode. Other ZZ99 codes mean unknown or foreign addresses.
const noFixedAbode = "ZZ99 3VZ"

// NormalPostcode returns a postcode in capitals with its one space, or nothing if the text is none.
func NormalPostcode(s string) string {
	b := make([]byte, 0, 8)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		switch {
		case c == ' ':
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			b = append(b, c)
		default:
			return ""
		}
	}
	n := len(b)
	if n < 5 || n > 7 || !letter(b[0]) || !digit(b[n-3]) || !letter(b[n-2]) || !letter(b[n-1]) {
		return ""
	}
	if !digit(b[1]) && !digit(b[2]) {
		return ""
	}
	return string(b[:n-3]) + " " + string(b[n-3:])
}

// Sector returns a postcode without its last two letters, for instance `RM17 5`: some three thousand addresses, no single home. It
// is empty for pseudo postcodes, which are nowhere.
func Sector(postcode string) string {
	p := NormalPostcode(postcode)
	if p == "" || strings.HasPrefix(p, "ZZ99") {
		return ""
	}
	return p[:len(p)-2]
}

func letter(c byte) bool { return 'A' <= c && c <= 'Z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }
