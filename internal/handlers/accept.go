package handlers

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/handlers/problem"
)

// negotiate chooses one of the media types that an operation offers, which are given in the order
// of preference, by the Accept header (RFC 9110 §12.5.1).
func negotiate(h http.Header, offers ...string) (string, error) {
	lines := h["Accept"]
	if len(lines) == 0 {
		return offers[0], nil
	}
	best, bestQuality := "", 0.0
	for _, offer := range offers {
		if q := acceptQuality(strings.Join(lines, ","), offer); q > bestQuality {
			best, bestQuality = offer, q
		}
	}
	if best == "" {
		return "", problem.Error{Code: problem.NotAcceptable,
			Members: problem.Members{"offers": offers},
			Detail: "This operation answers with " + strings.Join(offers, " or ") +
				", which the Accept header does not allow. " +
				"Ask for one of them, or send no Accept header."}
	}
	return best, nil
}

// prefersPage reports whether the Accept header gives a page more weight than each of the offers,
// as that of a browser does for an address that is opened in a tab.
func prefersPage(h http.Header, offers ...string) bool {
	accept := strings.Join(h["Accept"], ",")
	page := acceptQuality(accept, "text/html")
	return page > 0 && !slices.ContainsFunc(offers, func(offer string) bool {
		return acceptQuality(accept, offer) >= page
	})
}

// acceptQuality returns the weight that an Accept header gives to a media type by the most specific
// range that matches it, and 0 if the type is not acceptable.
func acceptQuality(accept, offer string) float64 {
	offerType, _, _ := strings.Cut(offer, "/")
	quality, precision := 0.0, 0
	for mediaRange := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(mediaRange, ";")
		specific := 0
		switch strings.ToLower(strings.TrimSpace(name)) {
		case offer:
			specific = 3
		case offerType + "/*":
			specific = 2
		case "*/*":
			specific = 1
		}
		if specific > precision {
			quality, precision = qualityOf(parameters), specific
		}
	}
	return quality
}

// qualityOf reads the weight from the parameters of a media range: 1 if there is none, and 0 if it
// is malformed.
func qualityOf(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil || q < 0 || q > 1 {
				return 0
			}
			return q
		}
	}
	return 1
}

// mediaTypeOf returns the body's media type without its parameters, or "" if the header cannot be
// read.
func mediaTypeOf(h http.Header) string {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return mediaType
}

// hasMediaType reports whether the body is of one of the media types, whatever their parameters.
func hasMediaType(h http.Header, mediaTypes ...string) bool {
	mediaType := mediaTypeOf(h)
	return mediaType != "" && slices.Contains(mediaTypes, mediaType)
}
