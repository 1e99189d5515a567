package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"strconv"
	"strings"
)

// errorStyle is the only style of the error page; its hash is in the page's policy.
const errorStyle = `body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:10vh auto;padding:0 1rem;` +
	`color:#1c1b22;background:#f6f6f4}small{color:#5d5b66}a{color:#3b2fb5}@media(prefers-color-scheme:dark){` +
	`body{color:#f1f0f4;background:#131217}small{color:#aaa7b5}a{color:#a9a1ff}}`

// errorPage shows a problem to a person.
var errorPage = template.Must(template.New("problem").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{{.Title}}</title><style>` + errorStyle + `</style>
<main><h1>{{.Title}}</h1>
{{with .Detail}}<p>{{.}}</p>
{{end}}{{with .Retry}}<p>Please try again in {{.}} s.</p>
{{end}}<p><a href="/">To the start page</a></p>
<p><small>{{.Status}}{{with .Request}} · request {{.}}{{end}}</small></p></main></html>
`))

// page is the problem as HTML.
func (p *Problem) page() []byte {
	facts := struct{ Title, Detail, Retry, Status, Request string }{
		Title: p.title(), Detail: p.Detail, Status: strconv.Itoa(p.status()), Request: p.Instance[strings.LastIndexByte(p.Instance, ':')+1:],
	}
	if p.RetryAfter > 0 {
		facts.Retry = seconds(p.RetryAfter)
	}
	var page bytes.Buffer
	if err := errorPage.Execute(&page, facts); err != nil {
		return []byte(template.HTMLEscapeString(p.title()))
	}
	return page.Bytes()
}

// errorPagePolicy allows the error page its own style and nothing else.
func errorPagePolicy() string {
	hash := sha256.Sum256([]byte(errorStyle))
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(hash[:]) + "'"
}
