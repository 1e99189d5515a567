package web

import (
	"net/http"

	"github.com/valyala/fasthttp"
)

// Prepared is an answer that is the same for everybody: its headers were written down once, and a request costs a copy of
// them. It never changes, and is safe for concurrent use.
type Prepared struct {
	header fasthttp.ResponseHeader
	body   []byte
}

// Prepare returns an answer of a status with a body, which must not change afterwards, and headers by name. What every answer
// carries it has too, unless a header says something else.
func Prepare(status int, headers map[string]string, body []byte) *Prepared {
	p := &Prepared{body: body}
	p.header.SetStatusCode(status)
	p.header.SetNoDefaultContentType(true)
	for _, d := range everyAnswer() {
		p.header.SetCanonical(d.name, d.value)
	}
	for name, value := range headers {
		p.header.Set(name, value)
	}
	return p
}

// Write answers with it, in place of everything that was written before, headers and cookies too.
func (p *Prepared) Write(ctx *fasthttp.RequestCtx) {
	p.header.CopyTo(&ctx.Response.Header)
	if len(p.body) == 0 || p.header.StatusCode() == http.StatusNotModified {
		ctx.Response.ResetBody()
		return
	}
	ctx.Response.SetBodyRaw(p.body)
}
