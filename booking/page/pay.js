"use strict";
const form = document.getElementById("payment");
const say = (text) => { document.getElementById("message").textContent = text; };
const facts = form.dataset;

async function begin() {
  const answer = await fetch("/pay", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify({ userId: facts.user, eventId: facts.event, amount: facts.amount, bookingId: facts.booking }),
  });
  const payment = await answer.json();
  if (!answer.ok) throw new Error(payment.detail || payment.title);
  const stripe = Stripe(payment.publishableKey);
  // The provider draws its fields in a frame of its own, which does not see our colours.
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const brand = getComputedStyle(document.documentElement).getPropertyValue("--brand").trim();
  const elements = stripe.elements({
    clientSecret: payment.clientSecret,
    appearance: { theme: dark ? "night" : "stripe", variables: { colorPrimary: brand } },
  });
  elements.create("payment").mount("#element");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    const done = await stripe.confirmPayment({
      elements,
      confirmParams: { return_url: `${location.origin}/booking/${facts.booking}/paid` },
    });
    delete form.dataset.sent;
    if (done.error) say(done.error.message);
  });
}
begin().catch((error) => say(error.message));
