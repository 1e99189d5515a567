package booking

import (
	_ "embed"

	"github.com/valyala/fasthttp"
)

//go:embed openapi.yaml
var openAPIDocument []byte

// OpenAPI is the description of the public API (OpenAPI 3.1): ours and the waiting room's. Callers must not change it.
func OpenAPI() []byte { return openAPIDocument }

// openAPI is GET /openapi.yaml.
func (a *API) openAPI(ctx *fasthttp.RequestCtx) error {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=300")
	ctx.SetContentType("application/yaml")
	ctx.SetBody(openAPIDocument)
	return nil
}
