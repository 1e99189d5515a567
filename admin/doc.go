// Package admin is the organiser's dashboard, the operators' API and their audit. It may read and write Postgres through
// internal/store, append operators' commands to both logs, read queue documents, and show asynqmon; it decides nothing
// about stock or order itself.
package admin
