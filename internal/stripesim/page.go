package stripesim

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// view is what the payment page shows.
type view struct {
	Style     template.CSS
	Shop      string
	Title     string
	Amount    string
	About     string // the intent's description
	Problem   string
	Message   string
	Secret    string
	ReturnURL string
	Back      string // link to where the payer came from
	Buttons   []button
}

// button is one way to go on.
type button struct{ Action, Label, Class string }

// visit is a page request whose client secret was right.
type visit struct {
	intent *Intent
	back   *url.URL // nil when the shop gave none
}

// showPay is GET /pay/{intent}.
func (s *Sim) showPay(w http.ResponseWriter, r *http.Request) {
	v, ok := s.visit(w, r, r.URL.Query())
	if !ok {
		return
	}
	s.payPage(w, v, "")
}

// payPage shows an intent as it stands.
func (s *Sim) payPage(w http.ResponseWriter, v visit, problem string) {
	page := s.view(v)
	page.Problem = problem
	switch v.intent.Status {
	case StatusRequiresPaymentMethod, StatusRequiresConfirmation, StatusRequiresAction:
		page.Title = "Pay " + page.Amount
		page.Buttons = []button{
			{"pay", "Pay " + page.Amount, "main"},
			{"other", "Pay with another card", ""},
			{"secure", "Pay with a card whose bank asks first", ""},
			{"decline", "Pay with a card that is declined", ""},
		}
	case StatusCanceled:
		page.Title, page.Message = "Payment cancelled", "This payment can no longer be made. No money was taken."
	default:
		page.Title, page.Message = "Payment received", "Nothing more is to be paid."
	}
	s.writePage(w, http.StatusOK, page)
}

// submitPay is POST /pay/{intent}: the shopper's decision. Sent twice it takes nothing twice.
func (s *Sim) submitPay(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	v, ok := s.visit(w, r, form)
	if !ok {
		return
	}
	name := map[string]string{"pay": "visa", "other": "mastercard", "decline": "chargeDeclined", "secure": "authenticationRequired"}[form.Get("action")]
	if name == "" {
		s.pageError(w, http.StatusBadRequest, "The form was incomplete. Please go back and try again.")
		return
	}
	v.intent, ok = s.shopper(w, v.intent.ID, func(t *tx, pi *Intent) error {
		switch pi.Status {
		case StatusRequiresPaymentMethod, StatusRequiresConfirmation, StatusRequiresAction:
		default:
			return nil
		}
		pi.PaymentMethod = t.mintMethod(name)
		how := confirmation{}
		if v.back != nil {
			how.returnURL = v.back.String()
		}
		_, err := t.confirm(pi, how)
		return err
	})
	if !ok {
		return
	}
	if v.intent.Status == StatusRequiresAction {
		s.redirect(w, s.securePage(v.intent))
		return
	}
	s.sendBack(w, v)
}

// showSecure is GET /3ds/{intent}, the bank's page.
func (s *Sim) showSecure(w http.ResponseWriter, r *http.Request) {
	v, ok := s.visit(w, r, r.URL.Query())
	if !ok {
		return
	}
	if v.intent.Status != StatusRequiresAction {
		s.payPage(w, v, "")
		return
	}
	page := s.view(v)
	page.Title = "Your bank asks (3‑D Secure)"
	page.Message = "Do you want to pay " + page.Amount + " to " + page.Shop + "?"
	page.Buttons = []button{{"complete", "Yes, pay", "main"}, {"fail", "No, stop", ""}}
	s.writePage(w, http.StatusOK, page)
}

// submitSecure is POST /3ds/{intent}: the answer to the bank.
func (s *Sim) submitSecure(w http.ResponseWriter, r *http.Request) {
	form, ok := s.form(w, r)
	if !ok {
		return
	}
	v, ok := s.visit(w, r, form)
	if !ok {
		return
	}
	action := form.Get("action")
	v.intent, ok = s.shopper(w, v.intent.ID, func(t *tx, pi *Intent) error {
		return t.finishSecure(pi, action == "complete")
	})
	if ok {
		s.sendBack(w, v)
	}
}

// shopper runs a change of an intent and returns it as it then is.
func (s *Sim) shopper(w http.ResponseWriter, id string, f func(*tx, *Intent) error) (*Intent, bool) {
	if err := s.shop(id, f); err != nil {
		s.log.Error("stripe simulator: page failed", "error", err)
		s.pageError(w, http.StatusInternalServerError, "Something went wrong. Please try again.")
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.intents.get(id), true
}

// sendBack sends the payer back with the parameters that Stripe adds, or shows the result if there is no way back.
func (s *Sim) sendBack(w http.ResponseWriter, v visit) {
	status := "succeeded"
	switch v.intent.Status {
	case StatusSucceeded, StatusRequiresCapture:
	default:
		status = "failed"
	}
	if v.back == nil {
		problem := ""
		if status == "failed" && v.intent.LastError != nil {
			problem = v.intent.LastError.Message
		}
		s.payPage(w, v, problem)
		return
	}
	back := *v.back
	query := back.Query()
	query.Set("payment_intent", v.intent.ID)
	query.Set("payment_intent_client_secret", v.intent.ClientSecret)
	query.Set("redirect_status", status)
	back.RawQuery = query.Encode()
	s.redirect(w, back.String())
}

// redirect makes the browser fetch an address that was checked before.
func (s *Sim) redirect(w http.ResponseWriter, to string) {
	pageHeaders(w, s.cfg.AllowedReturnOrigins)
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// form reads a posted page.
func (s *Sim) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
	if err := r.ParseForm(); err != nil {
		s.pageError(w, http.StatusBadRequest, "The form could not be read.")
		return nil, false
	}
	return r.PostForm, true
}

// visit checks the client secret and where the payer wants to be sent back to. The intent's own return URL was checked
// when it was set, and stands in for none.
func (s *Sim) visit(w http.ResponseWriter, r *http.Request, values url.Values) (visit, bool) {
	s.mu.Lock()
	pi := s.state.intents.get(r.PathValue("intent"))
	position := s.journal.position()
	s.mu.Unlock()
	if pi == nil || !sameSecret(values.Get("client_secret"), pi.ClientSecret) {
		s.pageError(w, http.StatusNotFound, "There is no such payment. Please go back to the shop and try again.")
		return visit{}, false
	}
	v := visit{intent: pi}
	raw := values.Get("return_url")
	if raw == "" {
		raw = pi.ReturnURL
	}
	if raw != "" {
		back, ok := s.returnTo(raw)
		if !ok || len(raw) > maxReturnURL {
			s.pageError(w, http.StatusBadRequest, "This page does not send anybody to the address that was asked for.")
			return visit{}, false
		}
		v.back = back
	}
	if err := s.journal.flush(position); err != nil {
		s.log.Error("stripe simulator: page failed", "error", err)
		s.pageError(w, http.StatusInternalServerError, "Something went wrong. Please try again.")
		return visit{}, false
	}
	return v, true
}

func (s *Sim) view(v visit) view {
	page := view{
		Shop: s.cfg.Name, Amount: formatMoney(v.intent.Amount, v.intent.Currency), About: v.intent.Description,
		Secret: v.intent.ClientSecret,
	}
	if v.back != nil {
		page.ReturnURL, page.Back = v.back.String(), v.back.String()
	}
	return page
}

func (s *Sim) pageError(w http.ResponseWriter, status int, message string) {
	s.writePage(w, status, view{Shop: s.cfg.Name, Title: "This did not work", Message: message})
}

// writePage renders the whole page before the first byte goes out.
func (s *Sim) writePage(w http.ResponseWriter, status int, v view) {
	v.Style = template.CSS(pageStyle) //nolint:gosec // our own embedded file
	var body bytes.Buffer
	page, err := template.New("page").Parse(pageSource)
	if err == nil {
		err = page.Execute(&body, v)
	}
	if err != nil {
		s.log.Error("stripe simulator: page not shown", "error", err)
		http.Error(w, "the page could not be shown", http.StatusInternalServerError)
		return
	}
	pageHeaders(w, s.cfg.AllowedReturnOrigins)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	body.WriteTo(w)
}

// pageHeaders allow nothing but our own style and forms. Browsers hold a form's redirect against form-action too, so
// the shops that payers go back to are named there. The address holds a secret and is told to nobody.
func pageHeaders(w http.ResponseWriter, origins []string) {
	sum := sha256.Sum256([]byte(pageStyle))
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; form-action "+strings.Join(append([]string{"'self'"}, origins...), " ")+
		"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}
