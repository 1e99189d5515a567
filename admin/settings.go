package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"strings"
	"unicode/utf8"

	"fairgate/internal/store"
	"fairgate/internal/web"
)

// Limits of what documents say of a seller, in characters.
const (
	maxSellerName    = 200
	maxSellerAddress = 500
	maxTaxNumber     = 50
)

// sellerView is a seller as an organiser may change it.
type sellerView struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	LegalName string `json:"legalName"`
	Address   string `json:"address"`
	TaxNumber string `json:"taxNumber"`
	Email     string `json:"email"`
}

func (a *Admin) sellers(ctx context.Context, who actor) ([]sellerView, error) {
	found, err := a.deps.Store.Merchants(ctx, who.scope())
	views := []sellerView{}
	for _, m := range found {
		views = append(views, sellerView{m.ID, m.Name, m.Seller.Name, m.Seller.Address, m.Seller.TaxNumber, m.Email})
	}
	return views, err
}

func (a *Admin) settingsPage(w http.ResponseWriter, r *http.Request, who actor) error {
	views, err := a.sellers(r.Context(), who)
	if err != nil {
		return err
	}
	return a.page(w, r, "settings", who, views)
}

func (a *Admin) sellersJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	views, err := a.sellers(r.Context(), who)
	if err == nil {
		writeJSON(w, views)
	}
	return err
}

// setSeller changes what documents say of a seller that are issued from now on.
func (a *Admin) setSeller(ctx context.Context, c *call) (deed, error) {
	var b struct {
		LegalName string `json:"legalName"`
		Address   string `json:"address"`
		TaxNumber string `json:"taxNumber"`
		Email     string `json:"email"`
	}
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	id, err := pathID(c.r, "seller")
	if err != nil {
		return deed{}, err
	}
	for _, f := range []struct {
		key  string
		text *string
		most int
	}{{"legalName", &b.LegalName, maxSellerName}, {"address", &b.Address, maxSellerAddress}, {"taxNumber", &b.TaxNumber, maxTaxNumber}, {"email", &b.Email, maxEmail}} {
		*f.text = strings.TrimSpace(strings.ReplaceAll(*f.text, "\r\n", "\n"))
		if utf8.RuneCountInString(*f.text) > f.most || strings.ContainsRune(*f.text, 0) {
			return deed{}, web.Unprocessable(f.key, fmt.Sprintf("at most %d characters", f.most))
		}
	}
	if at, err := mail.ParseAddress(b.Email); b.Email != "" && (err != nil || at.Address != b.Email) {
		return deed{}, web.Unprocessable("email", "an address such as money@venue.example, or nothing")
	}
	known, err := a.deps.Store.Merchants(ctx, c.who.scope())
	if err != nil {
		return deed{}, err
	}
	mine := false
	for _, m := range known {
		mine = mine || m.ID == id
	}
	if !mine {
		return deed{}, web.NotFound("There is no such seller.")
	}
	done, err := a.audited(ctx, c.who, "set-seller", fmt.Sprintf("seller/%d", id), b, func() (result, error) {
		err := a.deps.Store.SetMerchant(ctx, store.Merchant{
			ID: id, Email: b.Email, Seller: store.Seller{Name: b.LegalName, Address: b.Address, TaxNumber: b.TaxNumber},
		})
		if errors.Is(err, store.ErrNotFound) {
			err = web.NotFound("There is no such seller.")
		}
		return result{said: "Receipts from now on say so."}, err
	})
	done.back = "/settings"
	return done, err
}
